"""The command line: a command parses, calls one public function, renders."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the ``codesign`` program and exit with its code."""
    import gc

    gc.set_threshold(100_000)  # while a command starts, collections of 700 new objects find nothing, a hundred times
    from codesign.cli.app import run

    code = run(sys.argv[1:])
    gc.freeze()  # what is left ends with the process: collections at its end would only walk through it
    sys.exit(code)
