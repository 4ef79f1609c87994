"""Conformance suites: what every engine, cost model, reader and meter has to pass."""
