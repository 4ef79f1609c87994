"""Groups of commands that import a command only when it is called.

A table gives each command's home and one-line help, so listing them imports none; ``resolve_command`` is what
calling (and completing) a command goes through, and only there the home is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from codesign.cli.parameters import convert_on_demand


@dataclass(frozen=True, slots=True)
class Entry:
    """One command of a table.

    Attributes:
        home: Module that holds the command as ``app`` (see ``command_app``).
        help: The line shown in the list of commands.
    """

    home: str
    help: str

    def load(self, name: str) -> Any:
        """Import the command."""
        command = get_command(import_module(self.home).app)
        convert_on_demand(command)
        command.name = name
        return command


class LazyGroup(TyperGroup):
    """A group whose commands come from ``entries``; ``fallback`` takes a first word that names none of them."""

    entries: Mapping[str, Entry] = {}
    fallback: Entry | None = None

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in self.entries.items():
            self.add_command(TyperCommand(name, help=entry.help, rich_markup_mode=None), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return (name, command, rest of ``args``), the command imported."""
        known = args and args[0] in self.entries
        if self.fallback is not None and args and not known and not args[0].startswith("-"):
            return args[0], self.fallback.load(""), args
        name, stub, rest = super().resolve_command(ctx, args)
        entry = self.entries.get(name or "")
        return (name, entry.load(name or ""), rest) if entry else (name, stub, rest)


def lazy_group(entries: Mapping[str, Entry], fallback: Entry | None = None) -> type[LazyGroup]:
    """Return the group class of a table, for ``typer.Typer(cls=...)``."""
    return type("Group", (LazyGroup,), {"entries": dict(entries), "fallback": fallback})


def command_app(group: str = "", cls: type[TyperGroup] | None = None) -> typer.Typer:
    """Return the typer application of one command file.

    Args:
        group: Help of a group of subcommands; empty where the file holds one command.
        cls: Class of the group, for lazy subcommands.
    """
    app = typer.Typer(
        cls=cls,
        help=group or None,
        add_completion=False,
        no_args_is_help=bool(group),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    if group:
        app.callback()(_nothing)
    return app


def _nothing() -> None:
    return None
