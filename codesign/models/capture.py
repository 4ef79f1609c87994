"""User modules as models, captured without running them on data.

They are named ``py:package.module:factory``, ``py:FILE.py:factory`` or ``pt2:FILE``.

A factory's module is built under fake tensors where it can be (no memory for its weights), and one forward pass is
recorded under them (``recorder``). A ``.pt2`` file is checked before ``torch.export.load`` reads it (``program_file``).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from codesign.errors import CodesignError, UsageError, nearest
from codesign.models.input_shapes import InputShape, bound, by_position, parse_inputs
from codesign.models.precision import bits_of
from codesign.models.program_file import load_exported
from codesign.workload.edits import by_role, compute_dtype, retype
from codesign.workload.einsum import Role
from codesign.workload.graph import Block, Group, Phase, Workload

if TYPE_CHECKING:
    import torch

FACTORY = "write py:package.module:factory or py:FILE.py:factory"


class CapturedModel:
    """A module known by what one forward pass of it computes; offers what ``Model`` asks for."""

    kind = "captured"
    checkpoint = ""
    experts = None
    heads = None
    phases: tuple[str, ...] = ("forward",)

    def __init__(self, build: Callable[[], Any], name: str, source: str, inputs: tuple[InputShape, ...]) -> None:
        self.name, self.source, self.inputs = name, source, inputs
        self._build = build

    @property
    def sizes(self) -> dict[str, int]:
        """Return the sizes a run takes: ``batch`` multiplies the leading dimension of every input."""
        return {"batch": 1}

    @cached_property
    def _recorded(self) -> tuple[tuple[Group, ...], dict[str, int], str]:
        return record(self._build, self.inputs, self.source)

    @property
    def parameters(self) -> int:
        """Number of stored parameters; tied ones count once."""
        return sum(self._recorded[1].values())

    @property
    def active_parameters(self) -> float:
        """Every parameter: routing is not seen in a capture."""
        return float(self.parameters)

    @property
    def checkpoint_dtype(self) -> str:
        """Dtype of most parameters."""
        return self._recorded[2]

    def describe(self) -> dict[str, Any]:
        """Return what the model is made of as plain data."""
        return {
            "name": self.name, "source": self.source, "kind": self.kind, "parameters": self.parameters,
            "dtype": self.checkpoint_dtype, "inputs": [msgspec.to_builtins(i) for i in self.inputs],
            "operators": len(self._recorded[0]),
        }  # fmt: skip

    def workload(
        self, batch: Any = None, mode: str = "inference", dtype: str | None = None, kv_dtype: str | None = None
    ) -> Workload:
        """Return one forward pass; ``batch`` multiplies the leading dimension of the inputs."""
        if mode != "inference":
            raise UsageError(f"mode {mode!r} of a captured module", "only its forward pass is captured")
        factors = np.unique(np.asarray(1 if batch is None else batch))
        if len(factors) != 1:
            raise UsageError("a captured module has one batch at a time", "give the batches one by one")
        factor = int(factors[0])
        shapes = tuple(shape.scaled(factor) for shape in self.inputs)
        groups = self._recorded[0] if factor == 1 else record(self._build, shapes, self.source)[0]
        phase = Phase("forward", (Block("module", groups),))
        work = Workload(self.name, (phase,), {"sample": shapes[0].shape[0]})
        if dtype is None or dtype == self.checkpoint_dtype:
            return work
        return compute_dtype(retype(work, by_role(Role.WEIGHT, Role.ACTIVATION), bits_of(dtype)), dtype)

    def kv_bytes_per_token(self, bits: float | None = None) -> float:
        """Return 0: a captured pass keeps no cache."""
        return 0.0

    def module(
        self, layers: int | None = None, device: str = "cpu", dtype: str | None = None, seed: int = 0
    ) -> torch.nn.Module:
        """Return the module with the weights its factory gives it."""
        if layers is not None:
            raise UsageError("a captured module cannot be shortened", "leave layers out")
        import torch

        torch.manual_seed(seed)
        module: torch.nn.Module = self._build()
        with suppress(NotImplementedError):  # an exported program stays in the mode it was exported in
            module.eval()
        return module.to(device)

    def example_inputs(
        self,
        batch: int = 1,
        prompt: int | None = None,
        device: str = "cpu",
        seed: int = 0,
        layers: int | None = None,
        dtype: str | None = None,
    ) -> tuple[Any, ...]:
        """Return random inputs of the stated shapes, the leading dimension multiplied by ``batch``.

        Named ones stand where ``forward`` takes them, with its defaults before them.
        """
        import torch

        generator = torch.Generator().manual_seed(seed)
        return tuple(
            given.scaled(batch).tensor(generator).to(device) if isinstance(given, InputShape) else given
            for given in self._by_position
        )

    @cached_property
    def _by_position(self) -> tuple[Any, ...]:
        if not any(shape.name for shape in self.inputs):
            return self.inputs
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
            return by_position(self.inputs, _built(self._build, fake).forward, self.source)


def load_factory(rest: str, inputs: Sequence[str] | None = None) -> CapturedModel:
    """Return the model of ``package.module:factory`` or ``FILE.py:factory``; what is imported is said on stderr."""
    shapes = parse_inputs(inputs)
    factory = user_function(rest)
    return captured_module(lambda: _made(factory, rest), rest.rpartition(":")[2], f"py:{rest}", shapes)


def user_function(rest: str) -> Callable[[], Any]:
    """Return the function that ``package.module:function`` or ``FILE.py:function`` names; importing runs its module.

    Raises:
        UsageError: no such module or function, or importing it fails.
    """
    home, _, attribute = rest.partition(":")
    if not home or not attribute:
        raise UsageError(f"py:{rest} names no factory", FACTORY)
    return _factory(home, attribute)


def captured_module(
    build: Callable[[], Any], name: str, source: str, inputs: tuple[InputShape, ...] | None = None
) -> CapturedModel:
    """Return the model of what ``build()`` makes."""
    if not inputs:
        parse_inputs(None)  # says how to state them
    return CapturedModel(build, name, source, inputs or ())


def captured_copies(model: CapturedModel, module: torch.nn.Module) -> CapturedModel:
    """Return ``model`` captured from copies of ``module``, which its factory has made: it is not called again."""
    import copy

    def build() -> torch.nn.Module:
        from torch._subclasses.fake_tensor import unset_fake_temporarily

        with unset_fake_temporarily():
            return copy.deepcopy(module)

    return captured_module(build, model.name, model.source, model.inputs)


def load_program(rest: str, inputs: Sequence[str] | None = None) -> CapturedModel:
    """Return the model of an exported program file."""
    program = load_exported(Path(rest))
    stated = program.example_inputs[0] if program.example_inputs else ()
    shapes = parse_inputs(inputs) if inputs else tuple(
        InputShape(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in stated if hasattr(t, "shape")
    )  # fmt: skip
    return captured_module(lambda: program.module(), Path(rest).stem, f"pt2:{rest}", shapes)


def _factory(home: str, attribute: str) -> Callable[[], Any]:
    sys.stderr.write(f"importing {home} for {attribute}\n")
    try:
        module = _imported(home)
    except CodesignError:
        raise
    except ModuleNotFoundError as error:
        raise UsageError(f"py:{home}: no module named {error.name!r}", "run from its folder, or install it") from None
    except (Exception, SystemExit) as error:  # user code may raise anything
        raise UsageError(f"py:{home}: importing it raised {_short(error)}", "run it with python to see why") from None
    if not hasattr(module, attribute):
        public = [name for name in dir(module) if not name.startswith("_")]
        raise UsageError(f"py:{home} has no {attribute!r}", nearest(attribute, public))
    found: Callable[[], Any] = getattr(module, attribute)
    if not callable(found):
        raise UsageError(f"py:{home}:{attribute} is a {type(found).__name__}", "name a function that returns a module")
    return found


def _imported(home: str) -> Any:
    """Return the module of a file, whose folder is searched for what it imports, or the one of a dotted name."""
    path = Path(home)
    is_file = home.endswith(".py")
    for folder in (os.getcwd(), *([str(path.resolve().parent)] if is_file else [])):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    if not is_file:
        if len(path.parts) > 1 or home.startswith("."):
            raise UsageError(f"py:{home}: neither a module's name nor a Python file", FACTORY)
        return importlib.import_module(home)
    if not path.is_file():
        raise UsageError(f"py:{home}: no such file", FACTORY)
    name = path.name.replace(".", "_")  # never that of a module which something else imports
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _made(factory: Callable[[], Any], rest: str) -> Any:
    import inspect

    import torch

    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise UsageError(f"py:{rest} needs arguments: {error}", "name a function without any") from None
    except ValueError:
        pass  # no signature to look at: the call itself tells
    try:
        made = factory()
    except CodesignError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"py:{rest} raised {_short(error)}", "call it in python to see where") from error
    if not isinstance(made, torch.nn.Module):
        raise UsageError(f"py:{rest} returned a {type(made).__name__}", "expected a torch.nn.Module")
    return made.eval()


def record(
    build: Callable[[], Any], inputs: tuple[InputShape, ...], source: str
) -> tuple[tuple[Group, ...], dict[str, int], str]:
    """Return (kernels, elements per parameter, dtype of most parameters) of one forward pass.

    Raises:
        UsageError: the inputs do not fit, or control flow depends on data; the operator and the line are named.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from codesign.models.recorder import NAMES, Recorder, held_by

    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        module = _built(build, fake)
        _fake_weights(module, fake)
        counts = {name: t.numel() for name, t in module.named_parameters()}
        dtypes: dict[str, int] = {}
        for t in module.parameters():
            kind = NAMES.get(t.dtype, "fp32")
            dtypes[kind] = dtypes.get(kind, 0) + t.numel()
        recorder = Recorder(held_by(module.named_parameters()), held_by(module.named_buffers()))
        positional = [shape.tensor() for shape in inputs if not shape.name]
        named = {shape.name: shape.tensor() for shape in inputs if shape.name}
        if named:
            bound(inputs, module.forward, source)
        fused, library = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one opaque operator for a whole layer otherwise
        try:
            # recurrent layers are one opaque operator of the processor library otherwise
            torch._C._set_mkldnn_enabled(False)
            with recorder:
                module(*positional, **named)
        except CodesignError:
            raise
        except (Exception, SystemExit) as error:
            raise _explained(error, source) from error
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            torch._C._set_mkldnn_enabled(library)
    return tuple(recorder.groups), counts, max(dtypes, key=lambda k: dtypes[k]) if dtypes else "fp32"


def _built(build: Callable[[], Any], fake: Any) -> Any:
    try:
        return build()
    except UsageError as error:
        if not isinstance(error.__cause__, Exception):
            raise
        import torch

        with _paused(fake), torch.enable_grad():  # some look at their weights, or train: build those for real
            return build()


def _fake_weights(module: Any, fake: Any) -> None:
    """Replace real weights by fake ones, once each: an operator would make its own, and views lose their parameter."""
    from torch._subclasses.fake_tensor import FakeTensor

    for part in module.modules():
        for held in (part._parameters, part._buffers):
            for name, t in held.items():
                if t is not None and not isinstance(t, FakeTensor):
                    held[name] = fake.from_tensor(t)


def _paused(fake: Any) -> Any:
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    return unset_fake_temporarily()


def _explained(error: BaseException, source: str) -> UsageError:
    """Return what a failed forward pass means to the user."""
    line = _user_line(error)
    operator = getattr(error, "func", None)
    if operator is not None:
        return UsageError(
            f"{source}: control flow depends on data: {operator}{line}",
            "its shapes must follow from its inputs",
        )
    return UsageError(f"{source}: its forward pass raised {_short(error)}{line}", "check --input: number and shapes")


def _user_line(error: BaseException) -> str:
    """Return `` at file:line`` of the innermost frame that is neither torch's nor ours."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        inside = Path(frame.filename).parts
        if "torch" not in inside and "codesign" not in inside and not frame.filename.startswith("<"):
            return f" at {Path(frame.filename).name}:{frame.lineno}"
    return ""


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
