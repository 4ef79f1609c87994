"""From even tiles to uneven ones: where the search of uneven mappings begins.

Every even mapping is an uneven one whose tiles are all cut in front of the loops of their level. Uneven spaces are
hundreds of times larger, and good even mappings lie near good uneven ones: so a search of uneven mappings first
finds the best even ones, and its neighbourhoods then move single cuts, outwards where a tensor's share of a memory
has room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign.search.mapping.genome import Genome
from codesign.search.mapping.space import MappingSpace, Rows


def embedded(even: MappingSpace, uneven: MappingSpace, points: Rows) -> Rows:
    """Return the rows of even mappings in the uneven space of the same problem and accelerator; they cost the same."""
    given = even.genome(points)
    slots = [_first(even, uneven, slot) for slot in range(len(even.skeletons.slots))]
    factors = np.ones((len(uneven.skeletons.slots), *given.factors.shape[1:]), dtype=np.int64)
    factors[slots] = given.factors
    ranks = np.arange(given.factors.shape[1])
    orders = np.broadcast_to(
        ranks[None, :, None], (len(uneven.skeletons.temporal), len(ranks), given.size)
    ).copy()  # fmt: skip
    places = {slot: place for place, slot in enumerate(uneven.skeletons.temporal)}
    for place, slot in enumerate(even.skeletons.temporal):
        orders[places[slots[slot]]] = given.orders[place]
    options = np.stack([
        _plain(even, uneven, tensor)[given.options[tensor]] for tensor in range(len(given.options))
    ])  # fmt: skip
    return uneven.rows_of(Genome(options, factors, orders))


def _first(even: MappingSpace, uneven: MappingSpace, slot: int) -> int:
    """Return the first slot of the uneven space at the node and direction of a slot of the even one."""
    return uneven.skeletons.slots.index(even.skeletons.slots[slot])


def _plain(even: MappingSpace, uneven: MappingSpace, tensor: int) -> NDArray[np.int64]:
    """Return for every even option of a tensor the uneven option with the same levels, cut in front of their loops."""
    wanted = [
        tuple((one.level, _first(even, uneven, one.cut)) for one in option)
        for option in even.skeletons.options[tensor]
    ]  # fmt: skip
    known = [tuple((one.level, one.cut) for one in option) for option in uneven.skeletons.options[tensor]]
    return np.array([known.index(one) for one in wanted], dtype=np.int64)
