"""DLRM in plain torch: embedding bags, pairwise dot interaction, two MLPs (arXiv:1906.00091)."""

# mypy: disable-error-code="no-any-return"
# (torch types the call of a submodule as Any)

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from codesign.models.figures import Recommender


class RecommenderModel(nn.Module):
    """Click-through predictor."""

    def __init__(self, figures: Recommender) -> None:
        super().__init__()
        self.figures = figures
        size = figures.embedding_size
        self.tables = nn.ModuleList(nn.EmbeddingBag(rows, size, mode="sum") for rows in figures.tables)
        sides = (figures.dense_features, *figures.bottom)
        self.bottom = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))
        sides = (figures.interaction_width, *figures.top)
        self.top = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))

    def forward(self, dense: Tensor, indices: Tensor) -> Tensor:
        """Return click probabilities (b, 1) of ``dense`` (b, features) and ``indices`` (tables, b, lookups)."""
        x = dense
        for layer in self.bottom:
            x = functional.relu(layer(x))
        vectors = torch.stack([x, *(table(rows) for table, rows in zip(self.tables, indices, strict=True))], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))
        row, column = torch.tril_indices(vectors.shape[1], vectors.shape[1], offset=-1, device=dense.device)
        x = torch.cat((x, products[:, row, column]), dim=1)
        for layer in self.top[:-1]:
            x = functional.relu(layer(x))
        return torch.sigmoid(self.top[-1](x))
