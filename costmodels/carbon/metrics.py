"""Figures of merit of carbon, time and energy. Lower is better in all.

C is embodied carbon in g, E the energy of a run in J, D its delay in s (ACT, Gupta et al., ISCA 2022): ``CDP = C D``,
``CEP = C E``, ``C2EP = C^2 E``, ``CE2P = C E^2``, ``EDP = E D``. Total carbon tC is the embodied share and the
operational carbon over the life, ``tCDP = tC D`` (CORDOBA, arXiv 2305.01831). CCI is total carbon over the FLOP that
were executed (arXiv 2502.01671). Arguments broadcast; they are numbers,
arrays, or columns of an estimate, whose errors carry over.
"""

from __future__ import annotations

from typing import Any

from codesign.costmodels.carbon.domains import non_negative, positive

FLOP_PER_EFLOP = 1e18


def total_carbon(embodied_g: Any, operational_g: Any) -> Any:
    """Return tC: embodied share and operational carbon over the life, g."""
    return non_negative("embodied_g", embodied_g) + non_negative("operational_g", operational_g)


def tcdp(total_g: Any, delay_s: Any) -> Any:
    """Return total carbon times delay, g s."""
    return _product(total_g, delay_s)


def cdp(embodied_g: Any, delay_s: Any) -> Any:
    """Return embodied carbon times delay, g s."""
    return _product(embodied_g, delay_s)


def cep(embodied_g: Any, energy_j: Any) -> Any:
    """Return embodied carbon times energy, g J."""
    return _product(embodied_g, energy_j)


def c2ep(embodied_g: Any, energy_j: Any) -> Any:
    """Return embodied carbon squared times energy, g2 J: where embodied carbon dominates."""
    return _product(embodied_g, cep(embodied_g, energy_j))


def ce2p(embodied_g: Any, energy_j: Any) -> Any:
    """Return embodied carbon times energy squared, g J2: where operation dominates."""
    return _product(cep(embodied_g, energy_j), energy_j)


def edp(energy_j: Any, delay_s: Any) -> Any:
    """Return energy times delay, J s."""
    return _product(energy_j, delay_s)


def cci(total_g: Any, achieved_flop: Any) -> Any:
    """Return total carbon over executed work, g per EFLOP (1e18 FLOP).

    Args:
        total_g: Carbon of the hardware over the time that the work took.
        achieved_flop: FLOP that ran, not the peak: figures of vendors take the sparse peak for years on end.

    Raises:
        UsageError: an argument lies outside its domain.
    """
    return non_negative("total_g", total_g) * (FLOP_PER_EFLOP / positive("achieved_flop", achieved_flop))


def _product(one: Any, other: Any) -> Any:
    return non_negative("factor", one) * non_negative("factor", other)
