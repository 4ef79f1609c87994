"""A device calibrated format by format: what its kernels have in common first, then what those of each format are.

Libraries run the formats of one operator by kernels of their own, tuned more or less for a device, so that one change
for all of them leaves each off by its own share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from codesign.costmodels.operators.family_model import FamilyModel
from codesign.costmodels.operators.fit import calibrated, predict, shape_term
from codesign.costmodels.operators.tables import Rows
from codesign.quantity import Array

FORM_SPREAD, KERNEL_SPREAD = 0.15, 0.3
"""Standard deviation of what a parameter's logarithm, or the level, of one format differs by from that of all formats
of a device; the second where sorts of kernels are told apart (chosen on the development devices, each left out)."""


class ByFormat(NamedTuple):
    """A calibrated model.

    Attributes:
        shared: For formats that were not measured.
        own: Name of a format -> its model; empty where a single format was measured, which ``shared`` is of.
    """

    shared: FamilyModel
    own: Mapping[str, FamilyModel]

    def predict(self, rows: Rows, term: Array | None = None) -> Array:
        """Return the latency of each row, s; ``term`` is their shape term, where it is known."""
        term = shape_term(self.shared, rows) if term is None else term
        found = predict(self.shared, rows, term)
        for number, form in enumerate(rows.formats):
            mine = np.flatnonzero(rows.form == number)
            if form.name in self.own and len(mine):
                found[mine] = predict(self.own[form.name], rows.take(mine), term[mine])
        return found


def calibrated_by_format(
    model: FamilyModel, rows: Rows, term: Array | None = None, spread: Array | float | None = None
) -> ByFormat:
    """Return ``model`` moved to the one device of ``rows``: by all of them, and from there by those of each format.

    Args:
        model: As of ``fit.calibrated``, and so are the others.
        rows: Measured on one device; from one row on.
        term: Their shape term, where it is known already.
        spread: Of the parameters between devices.
    """
    term = shape_term(model, rows) if term is None else term
    numbers = np.unique(rows.form).tolist()
    if len(numbers) == 1:
        return ByFormat(calibrated(model, rows, term, spread), {})
    apart = KERNEL_SPREAD if model.expert.by_kernel else FORM_SPREAD
    shared = calibrated(model, rows, term, spread, apart)
    own = {}
    for number in numbers:
        mine = np.flatnonzero(rows.form == number)
        own[rows.formats[number].name] = calibrated(shared, rows.take(mine), term[mine], apart)
    return ByFormat(shared, own)
