"""``codesign search``: a kind of search, a spec file, or a run to resume."""

from __future__ import annotations

from typing import Annotated

import typer

from codesign.cli.lazy import Entry, lazy_group

KINDS = {  # adding a kind of search is a line here and a file beside this one
    "deployment": Entry("codesign.cli.search_deployment", "Target, precision, sharding and batch of a served model."),
    "accelerator": Entry("codesign.cli.search_accelerator", "Array, buffers, node and chiplets of an accelerator."),
    "mlir": Entry("codesign.cli.search_mlir", "Edits of a model's program, compiled, judged and timed."),
    "quantization": Entry("codesign.cli.search_quantization", "Bits of every layer of a trained model."),
    "mapping": Entry("codesign.cli.search_mapping", "Loop nests of an Einsum or a model on an accelerator."),
}

app = typer.Typer(
    cls=lazy_group(KINDS, Entry("codesign.cli.search_spec", "Run a spec: a YAML file, or the run.json of a run.")),
    help=(
        "Search a design space for its Pareto front.\n\n"
        "Give a kind of search, a spec (FILE.yaml or a run's run.json), or --resume RUN."
    ),
    epilog="Examples: codesign search deployment llama-3.1-8b --target h100-sxm,l4; codesign search --resume runs/X",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def search(
    ctx: typer.Context,
    resume: Annotated[str | None, typer.Option(help="Continue the run in this directory.")] = None,
    evaluations: Annotated[int | None, typer.Option(help="With --resume: a new budget.")] = None,
    workers: Annotated[int, typer.Option(help="With --resume: processes that evaluate.")] = 1,
) -> None:
    """Search a design space."""
    if ctx.invoked_subcommand is not None:
        return
    if resume is None:
        typer.echo(ctx.get_help())
        return
    from codesign.cli.search_run import finish, watched
    from codesign.search.specs import resumed

    with watched(ctx) as progress:
        run = resumed(resume, evaluations=evaluations, workers=workers, progress=progress)
    finish(ctx, run, as_json=False)
