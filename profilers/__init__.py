"""Profilers: measurement of real models, and what the traces mean."""
