"""One request to a worker process of ours, and its answer: whatever crashes there ends in one line here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from codesign import errors
from codesign.errors import CodesignError, DataError


def worker_answer(
    module: str, request: Any, timeout: float, environment: Mapping[str, str], what: str, too_long: str
) -> Any:
    """Return what ``python -m module`` answers to ``request`` on its last line, as plain JSON.

    Args:
        module: Reads a request from stdin; its answer may be ``{error, hint, kind}``.
        request: Encoded as JSON.
        timeout: Seconds.
        environment: Of the process.
        what: Is measured, for messages.
        too_long: Hint where it ran past ``timeout``.

    Raises:
        DataError: the worker crashed or ran past ``timeout``; the message says which.
        CodesignError: what the worker itself refused.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module], input=msgspec.json.encode(request), capture_output=True, timeout=timeout,
            env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DataError(f"measuring {what} took over {timeout:g} s", too_long) from None
    try:
        answer = msgspec.json.decode(done.stdout.strip().rpartition(b"\n")[2])
    except msgspec.DecodeError:
        raise DataError(
            f"measuring {what} ended with exit status {done.returncode}", "it may have run out of memory"
        ) from None
    if "error" in answer:
        kind: type[CodesignError] = getattr(errors, answer.get("kind", ""), DataError)
        raise kind(answer["error"], answer.get("hint", ""))
    return answer
