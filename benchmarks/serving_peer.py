"""What ``serving_against.py`` runs in the peer's environment: AIConfigurator's estimates of many configurations.

Reads a JSON list of keyword arguments of its ``cli_estimate`` from standard input and writes a JSON list, for each the
database mode, version of its tables, milliseconds to the first token and between further ones, and seconds of the
call, or why there is none.
A configuration that its tables do not cover is asked again in its mode HYBRID, which borrows from neighbours.

    PEER/bin/python benchmarks/serving_peer.py < ASKED.json > FOUND.json
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from functools import cache
from typing import Any

from aiconfigurator.cli.api import cli_estimate
from aiconfigurator.sdk.perf_database import get_latest_database_version


@cache
def version(system: str, backend: str) -> str:
    """Return the version of its tables that it takes by itself, at a hundred times the cost of an estimate a call."""
    return get_latest_database_version(system=system, backend=backend)


def estimated(asked: dict[str, Any]) -> dict[str, Any]:
    """Return one estimate: in the mode asked for, or in the first that has the configuration."""
    why = ""
    for mode in (asked["database_mode"],) if "database_mode" in asked else ("SILICON", "HYBRID"):
        began = time.perf_counter()
        try:
            tables = version(asked["system_name"], asked["backend_name"])
            found = cli_estimate(**asked | {"database_mode": mode, "backend_version": tables})
        except Exception as error:  # of many kinds, and each says what is missing
            why = f"{type(error).__name__}: {error}"
        else:
            seconds = time.perf_counter() - began
            return {"mode": mode, "tables": tables, "ttft_ms": found.ttft, "tpot_ms": found.tpot, "seconds": seconds}
    return {"refused": why}


warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
json.dump([estimated(asked) for asked in json.load(sys.stdin)], sys.stdout)
