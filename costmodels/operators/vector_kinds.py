"""Kinds of vector operators, in the shape column ``kind``."""

from __future__ import annotations

UNARY, BINARY, SOFTMAX, NORMALISATION = 0.0, 1.0, 2.0, 3.0

LOOKUP, FUNCTION = 0.25, 0.5
"""Unary ones that read rows of a table, and those of a function that is no single instruction; only processors tell
them from other unary ones."""

KINDS = (UNARY, LOOKUP, FUNCTION, BINARY, SOFTMAX, NORMALISATION)
