"""Traces analysed side by side: ``codesign profile TRACE --json`` against traceinsight's parse and five analyses.

Whole processes, import included, alternating, so that whatever else the machine does hits both; medians of wall time
and peak resident memory. The peer runs in a virtual environment of its own:

    python -m venv PEER && PEER/bin/pip install traceinsight==0.6.1 ijson
    python benchmarks/traces.py --peer-python PEER/bin/python
    python benchmarks/traces.py                    # ours alone: also microseconds an event, and whether that is linear
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

TRACES = Path(__file__).resolve().parents[2] / "shared" / "data" / "traces"
LEAST_EVENTS = 40_000
LONG = "linear_2080ti"
"""The trace that is repeated: integer microseconds, the most events, one process."""

PEER = Path(__file__).with_name("traces_peer.py")
BACKENDS = ("json", "ijson_batch_and_compress")
"""The peer's default parser, and the one its documentation recommends (it needs ijson)."""

SHIFTED = re.compile(rb'"(ts|correlation|External id|external id|id|Sequence number)"( ?: ?)(-?\d+)')
EVENT = re.compile(rb'"ts" ?:')


class Cost(NamedTuple):
    """Medians of one command: seconds, MB, and whether every run ended with 0."""

    seconds: float
    megabytes: float
    succeeded: bool


LAUNCHER = """
import os, sys, time
null = os.open(os.devnull, os.O_WRONLY)
began = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ,
                       file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
_, status, used = os.wait4(child, 0)
print(time.perf_counter() - began, used.ru_maxrss / 1024, int(status == 0))
"""
"""Runs the command from a small process: Linux counts the parent's memory at the fork as the child's peak."""


def run(command: Sequence[str], folder: Path) -> Cost:
    """Return the cost of one process in ``folder``."""
    launched = [sys.executable, "-S", "-c", LAUNCHER, *command]
    said = subprocess.run(launched, stdout=subprocess.PIPE, text=True, check=True, cwd=folder).stdout.split()
    return Cost(float(said[0]), float(said[1]), said[2] == "1")


def alternate(commands: Sequence[Sequence[str]], repeats: int) -> list[Cost]:
    """Return the median cost of each command over ``repeats`` rounds of all of them."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = [[run(command, Path(folder)) for command in commands] for _ in range(repeats)]
    return [
        Cost(
            statistics.median(cost.seconds for cost in costs),
            statistics.median(cost.megabytes for cost in costs),
            all(cost.succeeded for cost in costs),
        )
        for costs in zip(*rounds, strict=True)
    ]


def repeated(source: bytes, events: int) -> Iterator[bytes]:
    """Yield a trace of at least ``events`` events: the events of ``source``, their times and ids shifted each time."""
    start = source.index(b"[", source.index(b'"traceEvents"')) + 1
    end = source.rindex(b"]")
    body = source[start:end]
    numbers = [(m.group(1) == b"ts", int(m.group(3))) for m in SHIFTED.finditer(body)]
    times = [value for is_time, value in numbers if is_time]
    period = max(times) - min(times) + 1_000
    ids = max(value for is_time, value in numbers if not is_time) + 1
    yield source[:start]
    for turn in range(-(-events // len(times))):
        later, beyond = turn * period, turn * ids

        def shift(m: re.Match[bytes], later: int = later, beyond: int = beyond) -> bytes:
            number = int(m.group(3)) + (later if m.group(1) == b"ts" else beyond)
            return b'"%s"%s%d' % (m.group(1), m.group(2), number)

        yield (b"," if turn else b"") + SHIFTED.sub(shift, body)
    yield source[end:]


def write_repeated(source: Path, path: Path, events: int) -> int:
    """Write the repeated trace to ``path`` and return how many events it holds."""
    count = 0
    with path.open("wb") as file:
        for part in repeated(gzip.decompress(source.read_bytes()), events):
            count += len(EVENT.findall(part))
            file.write(part)
        file.flush()
        os.fsync(file.fileno())  # the first to read must not wait for the disk
    return count


def ours(trace: Path) -> list[str]:
    """Return our command."""
    return [sys.executable, "-m", "codesign", "profile", str(trace.resolve()), "--json"]


def side_by_side(trace: Path, events: int, peer: str | None, repeats: int) -> Cost:
    """Print one row and return our cost."""
    theirs = [[peer, str(PEER), str(trace.resolve()), backend] for backend in BACKENDS] if peer else []
    cost, *others = alternate([ours(trace), *theirs], repeats)
    row = f"{trace.name.split('.')[0]:26} {events:>10,} {_shown(cost):>20}"
    for other in others:
        ratios = f"{other.seconds / cost.seconds:5.1f}x {other.megabytes / cost.megabytes:5.2f}x"
        row += f" {_shown(other):>20} {ratios if other.succeeded and cost.succeeded else '-':>13}"
    print(row, flush=True)
    return cost


def _shown(cost: Cost) -> str:
    return f"{cost.seconds:7.2f} s {cost.megabytes:6,.0f} MB" if cost.succeeded else "cannot"


def main() -> None:
    """Print the table, and what an event costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peer-python", default=os.environ.get("CODESIGN_PEER_PYTHON"), help="python with traceinsight"
    )
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of the development traces")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each development trace")
    parser.add_argument("--long", type=int, nargs="*", default=[200_000, 1_000_000, 2_000_000], help="events")
    parser.add_argument("--long-repeats", type=int, default=1, help="rounds of each repeated trace")
    asked = parser.parse_args()
    if not asked.traces.is_dir():
        sys.exit(f"{asked.traces} is not there: name the folder of traces with --traces")
    peer = (
        os.path.abspath(asked.peer_python) if asked.peer_python else None
    )  # a link: resolved it leaves its environment
    print(f"load {os.getloadavg()[0]:.1f}; ratios: the peer's time and memory over ours")
    heads = [f"{backend[:20]:>20} {'time, memory':>13}" for backend in BACKENDS if peer]
    print(" ".join([f"{'trace':26} {'events':>10} {'codesign':>20}", *heads]))
    for trace in sorted(asked.traces.glob("*.json.gz")):
        events = len(EVENT.findall(gzip.decompress(trace.read_bytes())))
        if events >= LEAST_EVENTS:
            side_by_side(trace, events, peer, asked.repeats)
    start = alternate([[sys.executable, "-m", "codesign", "--version"]], 5)[0]
    with tempfile.TemporaryDirectory() as folder:
        for wanted in asked.long:
            path = Path(folder) / f"{LONG}_{wanted}.json"
            events = write_repeated(asked.traces / f"{LONG}.json.gz", path, wanted)
            cost = side_by_side(path, events, peer, asked.long_repeats)
            each = (cost.seconds - start.seconds) / events * 1e6
            if cost.succeeded:
                print(f"  {each:.2f} us an event beyond the start-up of {start.seconds:.2f} s", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
