"""Accelerator search: configurations of a template outside, the best mappings of every layer inside, carbon counted."""
