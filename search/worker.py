"""A worker process: builds the problem from its spec, then answers JSON lines until its input ends.

The first line names the problem's class and spec; every further line is a task. Only what the parent
process holds in memory gets here; nothing is unpickled. Output of the evaluated code goes to stderr.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import reduce
from importlib import import_module
from queue import SimpleQueue
from typing import Any, BinaryIO

import msgspec


def main() -> None:
    """Serve evaluations on stdin and stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of the evaluated code must not mix with the answers
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, lines), daemon=True).start()
    hello = msgspec.json.decode(lines.get())
    problem, answer = _build(hello)
    while True:
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()
        answer = _answer(problem, msgspec.json.decode(lines.get()))


def _build(hello: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the problem and the first answer: ready, or why it cannot be built here."""
    from codesign.errors import CodesignError

    sys.path[:] = hello["path"]
    try:
        kind: Any = reduce(getattr, hello["class"].split("."), import_module(hello["module"]))
        return kind.from_spec(hello["spec"]), {"ready": True}
    except CodesignError as error:
        return None, {"fatal": type(error).__name__, "message": error.message, "hint": error.hint}
    except Exception as error:
        message = f"a worker cannot build the problem: {type(error).__name__}: {error}"
        return None, {"fatal": "EnvironmentLacks", "message": message, "hint": "use --workers 1"}


def _read(source: BinaryIO, lines: SimpleQueue[bytes]) -> None:
    """Queue input lines; when the parent is gone, end at once, whatever is being evaluated."""
    for line in source:
        lines.put(line)
    os._exit(0)


def _answer(problem: Any, task: dict[str, Any]) -> dict[str, Any]:
    from codesign.errors import CodesignError
    from codesign.search.engine import unpack
    from codesign.search.rows import to_wire

    try:
        return {"results": to_wire(problem.evaluate(unpack(task["points"]), task["stage"]))}
    except CodesignError as error:
        return {"fatal": type(error).__name__, "message": error.message, "hint": error.hint}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
