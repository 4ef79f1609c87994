"""Parameters of the physical form for each sort of kernels on each device, and what they tell of other devices.

Engines run attention and experts by several sorts of kernels, and not by the same on every device. What is known of a
format on another device is the median of all kernels it was measured with, the median of all formats among them: a
kernel that is far from the others, as some are on one device, moves it by a place and no more.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from codesign.costmodels.operators.family_model import FamilyModel, Kernel
from codesign.costmodels.operators.most_probable import fit_parameters
from codesign.costmodels.operators.tables import Rows, of_pairs, sample
from codesign.quantity import Array

MOST_OF_A_KERNEL = 4_000
"""Rows of each sort of kernels that its parameters are fitted on."""

OFTEN = 0.2
"""Share of the rows of the sort measured most from which a sort is one that an engine runs often (assumed)."""


def by_kernel(bare: FamilyModel, rows: Rows, spread: float, noise: float, rng: np.random.Generator) -> FamilyModel:
    """Return ``bare`` with the parameters of each sort of kernels on each device, and their medians for others.

    Args:
        bare: Without parameters.
        rows: Measured.
        spread: Standard deviation of a parameter's logarithm between sorts of kernels.
        noise: Of ln(measured / physical form).
        rng: What rows are drawn by.
    """
    found: dict[Kernel, Array] = {}
    sizes: dict[Kernel, int] = {}
    for device, form, of_format in of_pairs(rows):
        for stack in np.unique(rows.stack[of_format]).tolist():
            mine = of_format[rows.stack[of_format] == stack]
            some = rows.take(mine[sample(rows.device[mine], MOST_OF_A_KERNEL, rng)])
            key = device, form, rows.stacks[stack]
            found[key] = fit_parameters(some, bare.expert.prior, spread, noise, within=True)
            sizes[key] = len(mine)
    middle = np.median(list(found.values()), axis=0)
    # the quickest of those that an engine runs often stands for it: some sorts serve few shapes
    order = sorted(found, key=lambda key: (sizes[key] < OFTEN * _most(sizes, key), found[key][0]))
    medians = {
        form: np.median([middle, *(v for k, v in found.items() if k[1] == form)], axis=0) for _, form, _ in order
    }
    groups = {(form, stack): medians[form] for _, form, stack in order}
    groups |= {(form, ""): median for form, median in medians.items()}
    return msgspec.structs.replace(bare, pooled=middle, groups=groups, kernels={key: found[key] for key in order})


def _most(sizes: Mapping[Kernel, int], key: Kernel) -> int:
    """Return the rows of the sort measured most of the device, format and framework of ``key``."""
    device, form, stack = key
    name = stack.partition("/")[0]
    return max(n for (d, f, s), n in sizes.items() if (d, f, s.partition("/")[0]) == (device, form, name))
