"""Paged caches: how many blocks fit beside weights and activations, and how many requests they hold.

An engine gives the memory that nothing else needs to blocks of a fixed number of tokens (vLLM, arXiv 2309.06180,
section 4.2), so a device holds

    blocks = floor((share * capacity - weights - activations - other state) / (block * cache bytes of a token))

and a request takes ``ceil(tokens / block)`` of them. Requests beyond that wait, or are thrown out and prefilled again:
the batch is limited by paging before it is limited by slots.

Units: bytes, tokens. Arrays broadcast over design points.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from codesign.quantity import Array

BLOCK_TOKENS = 16
"""Tokens of a block: the default of the engines that page."""


class CacheCapacity(msgspec.Struct, frozen=True, eq=False):
    """What fits one replica, shape (N,): ``blocks`` on a device, ``tokens`` and whole ``requests`` of the replica."""

    blocks: Array
    tokens: Array
    requests: Array

    def sentence(self, length: float, point: int = 0) -> str:
        """Return the capacity of one point in words; ``length`` is the tokens of a request."""
        return (
            f"cache: {self.blocks[point]:,.0f} blocks of {BLOCK_TOKENS} tokens a device; a replica holds "
            f"{self.tokens[point]:,.0f} tokens, {self.requests[point]:,.0f} requests of {length:,.0f}"
        )


def cache_blocks(free_bytes: Any, token_bytes: Any, block: int = BLOCK_TOKENS) -> Any:
    """Return the whole blocks in ``free_bytes`` of one device where a token takes ``token_bytes`` there."""
    return np.floor(np.maximum(free_bytes, 0.0) / (block * token_bytes) * (1.0 + 1e-12))


def cache_capacity(free_bytes: Any, token_bytes: Any, length: Array, groups: int) -> CacheCapacity:
    """Return what fits a replica of ``groups`` ranks that hold different requests of ``length`` tokens."""
    blocks = np.asarray(cache_blocks(free_bytes, token_bytes), dtype=np.float64)
    blocks = np.broadcast_to(blocks, np.broadcast_shapes(blocks.shape, length.shape))
    requests = np.floor(blocks / np.ceil(length / BLOCK_TOKENS)) * groups
    return CacheCapacity(blocks, blocks * BLOCK_TOKENS * groups, requests)
