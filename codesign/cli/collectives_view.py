"""Tables of fitted collectives: what they were fitted on, and their errors on what was left out."""

from __future__ import annotations

from pathlib import Path

from codesign.cli.output import Table
from codesign.costmodels.collectives.training import CollectiveFit, fit_collectives
from codesign.run import write_file


def fit_and_write(data: Path, out: Path | None) -> CollectiveFit:
    """Return the collectives fitted on the tables in ``data``, written to ``out`` if that is given."""
    from codesign.costmodels.collectives.shipped import encode

    found = fit_collectives(data)
    if out is not None:
        write_file(out, encode(found.model))
    return found


def collective_tables(found: CollectiveFit) -> list[Table]:
    """Return the tables of sources and errors."""
    sources = [
        (name, counts["rows"], "; ".join(f"{count:,} {reason}" for reason, count in counts.items() if reason != "rows"))
        for name, counts in found.model.sources.items()
    ]
    scores = [
        (s.protocol, s.target, s.rows, f"{s.mean:.1%}", f"{s.median:.1%}", f"{s.ninetieth:.1%}") for s in found.scores
    ]
    return [
        Table("Measured collectives", ("table", ">read", "left out"), sources),
        Table("Error of collectives", ("what was left out", "device", ">rows", ">mean", ">median", ">90 %"), scores),
    ]
