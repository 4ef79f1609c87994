"""How a pass is executed: as it is written, captured once and replayed, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codesign.errors import EnvironmentLacks, UsageError

EXECUTIONS = ("eager", "graph", "compiled")
WARM_UPS = 3
"""Passes on a side stream before a capture: libraries allocate workspaces in the first, which no graph may hold."""


def compiled(torch: Any, module: Any, device: str) -> Any:
    """Return ``module`` behind ``torch.compile``, for one shape at a time; it compiles at its first pass."""
    torch._dynamo.reset()  # kernels of another batch size would otherwise be generalised to both
    # generated kernels on the processor are events of a trace only if they are compiled so
    options = {"cpp.enable_kernel_profile": True} if device == "cpu" else None
    return torch.compile(module, dynamic=False, options=options)


def first_pass(torch: Any, run: Callable[[], Any]) -> None:
    """Run a compiled pass once, which compiles it.

    Raises:
        EnvironmentLacks: no compiler here, or it fails.
    """
    try:
        run()
    except Exception as error:
        if not _from_compiler(torch, error):
            raise
        told = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise EnvironmentLacks(
            f"torch.compile failed here: {told[:200]}", "install a C++ compiler (on a GPU also triton), or run eager"
        ) from None


def _from_compiler(torch: Any, error: BaseException) -> bool:
    import torch._dynamo.exc
    import torch._inductor.exc

    kinds = (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError)
    return isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def captured(torch: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    """Return the replay of a graph that was captured from one ``run``, whose inputs stay where they are.

    Raises:
        UsageError: ``run`` does something that no graph can hold, such as reading a result back.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            run()
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        told = next((line.strip() for line in str(error).splitlines() if line.strip()), "it failed")
        raise UsageError(f"this pass cannot be captured as a graph: {told[:200]}", "use --execution eager") from None
    replay: Callable[[], Any] = graph.replay
    return replay
