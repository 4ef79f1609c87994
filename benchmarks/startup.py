"""Wall time of ``codesign --help``: the median of nine starts.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def main() -> None:
    """Print the median and the range in seconds."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "codesign", "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    print(f"codesign --help: {statistics.median(times):.3f} s (from {min(times):.3f} to {max(times):.3f})")


if __name__ == "__main__":
    main()
