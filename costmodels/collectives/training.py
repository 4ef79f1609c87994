"""From a folder of tables to the file that ships, with the scores that its uncertainty comes from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from codesign.costmodels.collectives import scores as s
from codesign.costmodels.collectives.fit import curves_of, fit_rows
from codesign.costmodels.collectives.shipped import VERSION, Collectives, Spreads
from codesign.costmodels.collectives.tables import read_collectives


class CollectiveFit(msgspec.Struct, frozen=True, eq=False):
    """Fitted curves and their scores."""

    model: Collectives
    scores: tuple[s.Score, ...]


def fit_collectives(folder: Path | str) -> CollectiveFit:
    """Return the curves fitted on the tables in ``folder``; nothing is drawn, so the same tables give the same file.

    Raises:
        DataError: there is no table, or one lacks a column.
    """
    tables = read_collectives(Path(folder))
    rows = fit_rows(tables.series)
    scores = s.all_scores(rows, tables.series)
    spreads = Spreads(
        size=s.sigma_of(scores, s.SIZES),
        elsewhere=s.sigma_of(scores, s.HARNESS),
        between=s.sigma_of(scores, s.BETWEEN),
        beyond=s.sigma_of(scores, s.BEYOND),
        sibling=s.sigma_of(scores, s.SIBLING),
        other=s.sigma_of(scores, s.LINK, bus=False),
        bus=s.sigma_of(scores, s.LINK, bus=True),
        network=s.sigma_of(scores, s.NETWORK),
    )
    rounded = {name: round(value, 3) for name, value in msgspec.structs.asdict(spreads).items()}
    libraries = tuple(sorted({one.library for one in tables.series if one.library}))
    return CollectiveFit(Collectives(VERSION, tables.sources, libraries, Spreads(**rounded), curves_of(rows)), scores)
