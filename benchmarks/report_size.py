"""Size and load time of an HTML report of 2,000 trials and four objectives.

    python benchmarks/report_size.py [TRIALS]

Load times are medians of nine loads in headless Chromium with every request but the file refused: ``load`` is the
browser's load event, ``ready`` when everything below the fold is drawn too.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from codesign.report import report
from codesign.testing.synthetic_run import synthetic_run

LOADS = 9


def main(trials: int) -> None:
    """Print bytes and milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        run = synthetic_run(Path(folder) / "run", trials=trials, objectives=4)
        start = time.perf_counter()
        path = report(run)
        built = time.perf_counter() - start
        blank = Path(folder) / "blank.html"
        blank.write_text("<!doctype html><title>blank</title><p>blank")
        print(f"trials {trials}   bytes {path.stat().st_size:,}   built in {built * 1e3:.0f} ms")
        for name, file in (("report", path), ("blank page", blank)):
            print(f"{name:<11}", load_times(file))


def load_times(path: Path) -> str:
    """Return the median load and ready times of a page."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return "not timed: no Chromium on this machine"
    from playwright.sync_api import sync_playwright

    loads, readies = [], []
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, offline=True)
        for _ in range(LOADS):
            page.goto(path.absolute().as_uri())
            page.wait_for_timeout(400)
            loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
            readies.append(page.evaluate("(performance.getEntriesByName('ready')[0] || {startTime: 0}).startTime"))
        browser.close()
    return f"load {statistics.median(loads):.0f} ms, ready {statistics.median(readies):.0f} ms"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
