"""Weights of the built-in tasks: trained once by a fixed recipe, kept in the user's cache as plain arrays.

The cache is keyed by recipe, data and torch version; a file that does not fit its module is trained anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.search.quantization.task import digest
from codesign.search.quantization.threads import one_thread

if TYPE_CHECKING:
    import torch


def cache_folder() -> Path:
    """Return where trained weights are kept: ``XDG_CACHE_HOME``, else the home's ``.cache``."""
    stated = os.environ.get("XDG_CACHE_HOME")
    return (Path(stated) if stated else Path.home() / ".cache") / "codesign" / "quantization"


def trained(
    name: str,
    build: Callable[[], torch.nn.Module],
    train: Callable[[torch.nn.Module], None],
    data: list[Any],
    recipe: str,
) -> torch.nn.Module:
    """Return ``build()`` with trained weights, from the cache or by ``train``; the same in every process.

    Args:
        name: Name of the task.
        build: Makes the module, under a fixed seed.
        train: Trains it in place.
        data: Arrays it is trained on.
        recipe: Everything else that decides the weights, as text.
    """
    import torch

    key = digest([*data, np.frombuffer(f"{recipe} {torch.__version__}".encode(), np.uint8)])
    path = cache_folder() / f"{name}-{key}.npz"
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(0)
        module = build()
        if not _load(module, path):
            sys.stderr.write(f"training {name} (once; kept in the cache)\n")
            module.train()
            train(module)
            _save(module, path)
    return module.eval().requires_grad_(False)


def _load(module: torch.nn.Module, path: Path) -> bool:
    import torch

    try:
        with np.load(path, allow_pickle=False) as archive:
            state = {name: torch.from_numpy(archive[name]) for name in archive.files}
        module.load_state_dict(state)
    except (OSError, ValueError, RuntimeError, EOFError):
        return False
    return True


def _save(module: torch.nn.Module, path: Path) -> None:
    """Keep the weights; a cache that cannot be written costs the next run its training, nothing else."""
    arrays = {name: value.detach().numpy() for name, value in module.state_dict().items()}
    beside = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(beside, **arrays)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        sys.stderr.write(f"weights are not kept: {error.strerror}\n")
