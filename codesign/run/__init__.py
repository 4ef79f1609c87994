"""Run directories: one schema for every command that computes (DESIGN.md section 2).

``run.json`` says what ran, ``journal.jsonl`` is the append-only truth, and ``trials.parquet``,
``front.csv``, ``front.json`` and ``report.html`` are derived from the two and can be built again.
"""

from __future__ import annotations

from codesign.run.directory import Run, create_run, load_run, refuse_taken, write_file
from codesign.run.journal import Journal, read_journal
from codesign.run.provenance import host_info, sanitise_argv, versions

__all__ = [
    "Journal",
    "Run",
    "create_run",
    "host_info",
    "load_run",
    "read_journal",
    "refuse_taken",
    "sanitise_argv",
    "versions",
    "write_file",
]
