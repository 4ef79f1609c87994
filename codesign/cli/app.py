"""The ``codesign`` application: its table of commands, its global options, and the one place errors are shown."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from codesign import __version__
from codesign.cli.lazy import Entry, lazy_group
from codesign.cli.parameters import convert_on_demand
from codesign.errors import CodesignError, ExitCode

COMMANDS: dict[str, Entry] = {  # adding a command is a line here and a file beside this one
    "profile": Entry("codesign.cli.profile", "Profile a model here, or read a trace: what holds it back."),
    "calibrate": Entry("codesign.cli.calibrate", "Measure this machine, or take measurements; write an overlay."),
    "estimate": Entry("codesign.cli.estimate", "Estimate what a design costs, with intervals."),
    "explain": Entry("codesign.cli.explain", "Explain a design: what binds it, what moves it."),
    "search": Entry("codesign.cli.search", "Search a design space for its Pareto front."),
    "report": Entry("codesign.cli.report", "Render runs: HTML, CSV, JSON, Parquet, Markdown, LaTeX."),
    "compare": Entry("codesign.cli.compare", "Compare the fronts of two searches, or two profiles."),
    "carbon": Entry("codesign.cli.carbon", "Account for carbon, and plan against it."),
    "validate": Entry("codesign.cli.validate", "Check our numbers against references, this machine, or your cases."),
    "costmodels": Entry("codesign.cli.costmodels", "Fit the learned models and score them."),
    "targets": Entry("codesign.cli.targets", "List, show, validate and detect hardware targets."),
    "models": Entry("codesign.cli.models", "List and show model presets."),
    "doctor": Entry("codesign.cli.doctor", "Say what this machine offers, and what is missing."),
}

ANYWHERE = ("--debug", "-q", "--quiet", "--version")
"""Global options, taken wherever they stand before a ``--``."""

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    help="Hardware-software co-design and cost modelling: measure, calibrate, search, verify.",
    epilog="Start with: codesign doctor",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"codesign {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Run the command line ``arguments`` and return the exit code; shows every error itself."""
    ordered = hoist(arguments)
    debug = "--debug" in ordered
    try:
        command = get_command(app)
        convert_on_demand(command)
        outcome = command.main(args=ordered, prog_name="codesign", standalone_mode=False)
        sys.stdout.flush()  # a reader that went away shows here, not at interpreter shutdown
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except BaseException as error:
        return _report(error, debug)
    if outcome == ExitCode.INTERRUPTED:  # typer turns Ctrl-C into this number, silently
        return _say("interrupted", "", ExitCode.INTERRUPTED)
    return outcome if isinstance(outcome, int) else ExitCode.OK


def hoist(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with the global options first, so that they are accepted after the command too."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    front = [word for word in words[:end] if word in ANYWHERE]
    return [*front, *(word for word in words[:end] if word not in ANYWHERE), *words[end:]]


def _report(error: BaseException, debug: bool) -> int:
    """Show ``error`` on stderr in a line or two and return its exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ExitCode.INTERNAL
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error)
        return ExitCode.OK
    if debug:
        traceback.print_exception(error)
    if isinstance(error, CodesignError):
        return _say(error.message, error.hint, error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return _say("interrupted", "", ExitCode.INTERRUPTED)
    if isinstance(error, typer.Abort):
        return _say("stopped", "", ExitCode.INTERRUPTED)
    context = getattr(error, "ctx", None)
    if hasattr(error, "format_message"):  # typer's own errors: an unknown option, a value of the wrong kind
        hint = f"see {context.command_path} --help" if context is not None else ""
        return _say(error.format_message(), hint, ExitCode.USAGE)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        return _say(_os_text(error), "free space, or choose another place for the output", ExitCode.ENVIRONMENT)
    if isinstance(error, OSError) and error.filename:
        return _say(_os_text(error), "check the path and its permissions", ExitCode.USAGE)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _say(f"internal error: {text}", "" if debug else "rerun with --debug for the traceback", ExitCode.INTERNAL)


def _os_text(error: OSError) -> str:
    text = (error.strerror or type(error).__name__).lower()
    return f"{text}: {error.filename}" if error.filename else text


def _say(message: str, hint: str, code: int) -> int:
    print(f"error: {_one_line(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {_one_line(hint)}", file=sys.stderr)
    return int(code)


def _one_line(text: str) -> str:
    """Return ``text`` on one line, without control characters that could drive a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
