"""The built-in language model: a byte-level transformer of 0.14 million parameters, trained on the user's text.

Pre-norm, learnt positions, two blocks of width 64. The text is a file, or the ``*.md`` and ``*.txt`` of a folder: its
first 70 % train the model (calibration takes its ranges from them), then 10 % each to search, select and report.
What is priced is one decode step against a full cache, whose keys and values are state of the module.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from codesign.errors import DataError, UsageError
from codesign.models.capture import captured_module
from codesign.models.input_shapes import InputShape
from codesign.search.quantization.task import Split, Task
from codesign.search.quantization.trained import trained
from codesign.strict_yaml import read_text

WIDTH, HEADS, BLOCKS, CONTEXT, TOKENS = 64, 4, 2, 64, 256
STEPS, BATCH, RATE = 700, 32, 3e-3
SHARES = {"calibration": 0.7, "search": 0.1, "selection": 0.1, "report": 0.1}
JUDGED = 48
"""Sequences of a split, spread over it."""
LEAST_BYTES = 20_000


class Attention(nn.Module):
    """Causal attention; with ``cached`` it takes one token and attends to that many cached ones before it."""

    def __init__(self, cached: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.cached = cached
        if cached:
            for name in ("cached_keys", "cached_values"):
                self.register_buffer(name, torch.zeros(1, HEADS, cached, WIDTH // HEADS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, T, width) of ``x`` likewise."""
        batch, length, _ = x.shape
        q, k, v = (
            part(x).view(batch, length, HEADS, WIDTH // HEADS).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        if self.cached:
            heads = self._step(q, k, v)
        else:
            heads = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        attended: torch.Tensor = self.out(heads.transpose(1, 2).reshape(batch, length, WIDTH))
        return attended

    def _step(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the attention of one token to the cache and itself, the cache read in place."""
        keys, values = self.get_buffer("cached_keys"), self.get_buffer("cached_values")
        scores = torch.cat([q @ keys.transpose(2, 3), q @ k.transpose(2, 3)], dim=-1) / (WIDTH // HEADS) ** 0.5
        shares = scores.softmax(dim=-1)
        read: torch.Tensor = shares[..., : self.cached] @ values + shares[..., self.cached :] @ v
        return read


class Block(nn.Module):
    """Attention and a feed-forward layer of four times the width, each behind a norm."""

    def __init__(self, cached: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention(cached)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, T, width) of ``x`` likewise."""
        x = x + self.attention(self.norm1(x))
        fed: torch.Tensor = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return fed


class TinyTransformer(nn.Module):
    """Next-byte logits (B, T, 256) of bytes (B, T); with ``cached``, of one byte after that many."""

    def __init__(self, cached: int = 0) -> None:
        super().__init__()
        self.cached = cached
        self.bytes = nn.Embedding(TOKENS, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block(cached) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        length = tokens.shape[1]
        x = self.bytes(tokens) + self.positions.weight[self.cached : self.cached + length]
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.head(self.norm(x))
        return logits


def transformer_task(data: str) -> Task:
    """Return the task of the transformer on a text.

    Raises:
        UsageError: no text is named.
        DataError: it is missing or too short.
    """
    text = read_bytes(data)
    ends = np.round(np.cumsum(list(SHARES.values())) * len(text)).astype(int)
    parts = dict(zip(SHARES, np.split(text, ends[:-1]), strict=True))
    splits = {name: sequences(part) for name, part in parts.items()}
    training = torch.from_numpy(parts["calibration"].astype(np.int64))
    module = trained(
        "tiny-transformer", TinyTransformer, lambda net: _train(net, training), [parts["calibration"]],
        f"{WIDTH} {HEADS} {BLOCKS} {CONTEXT} adamw {STEPS} {BATCH} {RATE}",
    )  # fmt: skip
    layers = tuple(f"blocks.{block}.attention.{part}" for block in range(BLOCKS) for part in ("k", "v"))
    return Task(
        name="tiny-transformer", module=module, splits=splits, measure="perplexity",
        priced=captured_module(
            lambda: TinyTransformer(CONTEXT - 1).eval(), "tiny-transformer", data, (InputShape((1, 1), "int64"),)
        ),
        functional_unit="token", kv_layers=layers,
        notes=(
            f"data: {len(text):,} bytes of {Path(data).name}, in order: 70 % train and calibrate, 10 % search, 10 % "
            f"select, 10 % report ({JUDGED} sequences of {CONTEXT} bytes of each)",
            f"priced: one decode step after {CONTEXT - 1} cached bytes, batch 1",
        ),
    )  # fmt: skip


def read_bytes(data: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the bytes of a text file, or of the texts of a folder in the order of their names."""
    if not data:
        raise UsageError("tiny-transformer needs a text", "--data FILE.txt, or a folder of .md and .txt files")
    place = Path(data)
    files = sorted(p for p in place.iterdir() if p.suffix in (".md", ".txt")) if place.is_dir() else [place]
    text = "\n".join(read_text(file) for file in files).encode()
    if len(text) < LEAST_BYTES:
        raise DataError(f"{data}: {len(text):,} bytes of text", f"expected at least {LEAST_BYTES:,}")
    return np.frombuffer(text, np.uint8)


def sequences(text: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Split:
    """Return ``JUDGED`` sequences spread over a text, and the bytes that follow each of their bytes."""
    starts = np.linspace(0, len(text) - CONTEXT - 1, JUDGED).astype(int)
    rows = torch.from_numpy(np.stack([text[s : s + CONTEXT + 1] for s in starts]).astype(np.int64))
    return Split(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())


def _train(net: nn.Module, text: torch.Tensor) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    places = torch.arange(CONTEXT + 1)
    for _ in range(STEPS):
        rows = text[torch.randint(0, len(text) - CONTEXT - 1, (BATCH, 1)) + places]
        optimizer.zero_grad()
        logits = net(rows[:, :-1])
        torch.autograd.backward(nn.functional.cross_entropy(logits.reshape(-1, TOKENS), rows[:, 1:].reshape(-1)))
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
