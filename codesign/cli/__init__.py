"""The command line: a command parses, calls one public function, renders."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the ``codesign`` program and exit with its code."""
    from codesign.cli.app import run

    sys.exit(run(sys.argv[1:]))
