"""Spatial accelerators: closed forms of arrays and fused cascades, tables of energy and area, loop nests."""
