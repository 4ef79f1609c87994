"""The ATen graph through torch: nothing is compiled, so a mutant costs milliseconds and gains are removed operations.

FLOPs are those of ``torch.utils.flop_counter``, bytes are the sizes of what each operation reads and writes (views move
nothing), temporary bytes the most that results hold at once when each is freed after its last use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign.errors import EnvironmentLacks
from codesign.search.mlir.backends.protocol import Arrays, Costs, Executable, one_line
from codesign.search.mlir.graph import Refused

if TYPE_CHECKING:
    import torch


class TorchBackend:
    """Runs graph modules eagerly, one operation after the other."""

    name = "torch"
    dialect = "aten"

    def __init__(self, device: str = "cpu") -> None:
        """Check the device.

        Raises:
            EnvironmentLacks: torch finds no such device.
        """
        import torch

        self.device, self.version = device, f"torch {torch.__version__}"
        self._counts = Counts()
        if device == "cuda" and not torch.cuda.is_available():
            raise EnvironmentLacks("torch finds no CUDA device", "leave --device out, or install torch for CUDA")

    def compile(self, realised: Any) -> Executable:
        """Return a graph module (or an object with ``module``) ready to run."""
        import torch.fx

        module = realised if isinstance(realised, torch.fx.GraphModule) else realised.module
        return TorchExecutable(module, self.device, self._counts)


class TorchExecutable:
    """A graph module on a device."""

    def __init__(self, module: torch.fx.GraphModule, device: str, counts: Counts) -> None:
        self._module, self._device, self._counts = module.to(device), device, counts
        self.digest = ""
        self._costs: Costs | None = None
        self._seen: Any = None

    @property
    def costs(self) -> Costs:
        """Counted once, on the arguments of the first call; all None before it."""
        if self._costs is None:
            if self._seen is None:
                return Costs()
            self._costs = self._guarded(lambda: self._counts.of(self._module, self._seen))
        return self._costs

    def load(self, arrays: Arrays) -> Any:
        """Return the arguments as tensors on the device; on a CPU they share the arrays' memory."""
        import torch

        return [torch.from_numpy(_writable(array)).to(self._device) for array in arrays]

    def call(self, loaded: Any) -> Any:
        """Run once; return the outputs when they are ready."""
        self._seen = self._seen or loaded
        outputs = self._guarded(lambda: self._module(*loaded))
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()
        return outputs if isinstance(outputs, tuple | list) else (outputs,)

    def fetch(self, outputs: Any) -> list[NDArray[Any]]:
        """Return the outputs as arrays."""
        return [output.detach().cpu().numpy() for output in outputs]

    def _guarded(self, act: Callable[[], Any]) -> Any:
        import torch

        try:
            with torch.no_grad():
                return act()
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
            raise Refused(f"torch: {one_line(error)}") from None


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    """Return ``array`` as torch takes it: contiguous and writable."""
    found = np.ascontiguousarray(array)
    return found if found.flags.writeable else found.copy()


class Counts:
    """Counts what graph modules cost, one run each; FLOPs of an operation on given shapes are counted once."""

    def __init__(self) -> None:
        self._flops: dict[Any, float] = {}

    def of(self, module: torch.fx.GraphModule, arguments: Any) -> Costs:
        """Return the costs of one run of ``module`` on ``arguments``, operation by operation."""
        import torch

        flops_of = self._flops_of
        flops, moved, operations, peak = 0.0, 0.0, 0.0, 0.0
        held: dict[torch.fx.Node, float] = {}

        class Counter(torch.fx.Interpreter):
            def run_node(self, n: torch.fx.Node) -> Any:
                nonlocal flops, moved, operations, peak
                result = super().run_node(n)
                if n.op == "call_function":
                    given, named = self.fetch_args_kwargs_from_env(n)
                    inputs = list(_tensors((given, named)))
                    own = {tensor.untyped_storage().data_ptr() for tensor in inputs}
                    fresh = [t for t in _tensors(result) if t.untyped_storage().data_ptr() not in own]
                    if fresh:  # a view moves nothing and launches nothing
                        flops += flops_of(n.target, given, named)
                        moved += sum(map(_size, inputs)) + sum(map(_size, fresh))
                        operations += 1.0
                        held[n] = sum(map(_size, fresh))
                        peak = max(peak, sum(held.values()))
                for ended in self.user_to_last_uses.get(n, ()):
                    held.pop(ended, None)
                return result

        Counter(module).run(*arguments)
        return Costs(flops, moved, peak, operations)

    def _flops_of(self, target: Any, given: Any, named: Any) -> float:
        from torch.utils.flop_counter import FlopCounterMode

        shapes = tuple(tuple(tensor.shape) for tensor in _tensors((given, named)))
        key = (target, shapes, str([v for v in given if isinstance(v, int | list | tuple)]) if len(given) > 2 else "")
        if key not in self._flops:
            with FlopCounterMode(display=False) as counter:
                target(*given, **named)
            self._flops[key] = float(counter.get_total_flops())
        return self._flops[key]


def _size(tensor: torch.Tensor) -> float:
    return float(tensor.numel() * tensor.element_size())


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
