"""Proxies: models of what a search evaluates, learned from its trials."""

from __future__ import annotations

from codesign.search.proxy.model import Prediction, Proxy, load_proxy, write_proxy
from codesign.search.proxy.run_trials import RunTable, Speed, speed_of, table_of_run
from codesign.search.proxy.training import Column, Table, fit_proxy

__all__ = [
    "Column",
    "Prediction",
    "Proxy",
    "RunTable",
    "Speed",
    "Table",
    "fit_proxy",
    "load_proxy",
    "speed_of",
    "table_of_run",
    "write_proxy",
]
