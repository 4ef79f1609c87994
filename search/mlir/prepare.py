"""From what a user names to what a search needs: the original program, its task, and the forward pass of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import DataError, UsageError, nearest
from codesign.search.mlir.backends.registry import DIALECTS, check_installed
from codesign.search.mlir.programs import AtenProgram, Program, StableHloProgram, load_program
from codesign.search.mlir.settings import ProgramSpec
from codesign.search.mlir.tasks.digits import BATCH as DIGITS_BATCH
from codesign.search.mlir.tasks.digits import MODELS, RATE, batches, network, trained, training_digits
from codesign.search.mlir.tasks.quality import Judge, check_outputs
from codesign.search.mlir.tasks.samples import Samples, Splits, named_samples, split
from codesign.search.mlir.tasks.task import Task

if TYPE_CHECKING:
    import torch

Step = Callable[..., Mapping[str, Any]]
TRAINING_SHARE = 0.5
"""Of a user's data, where a training step is searched: the rest judges."""
STEP_BATCH = 64


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a search works on; ``forward`` only of a training step."""

    program: Program
    task: Task
    forward: Program | None = None

    def save(self, directory: Path) -> None:
        """Write everything into ``directory``."""
        self.program.save(directory / "program")
        self.task.save(directory)
        if self.forward is not None:
            self.forward.save(directory / "forward")

    @classmethod
    def load(cls, directory: Path) -> Prepared:
        """Return what ``save`` wrote; needs neither torch nor the user's code."""
        forward = directory / "forward"
        return cls(
            load_program(directory / "program"),
            Task.load(directory),
            load_program(forward) if forward.exists() else None,
        )


def prepare(asked: ProgramSpec) -> Prepared:
    """Return program and task of a spec.

    Raises:
        UsageError: unknown names, or a module that cannot be traced or lowered.
        DataError: a file is wrong, or data do not fit the program.
        EnvironmentLacks: a package is missing.
    """
    check_installed(asked.backend)  # its workers would tell only when the run has begun
    if asked.model.startswith("mlir:"):
        return _from_text(asked)
    if asked.model in MODELS:
        base = asked.model.removesuffix("-train")
        if base == asked.model:
            return _inference(asked, trained(asked.model))
        module = network(base)
        return _training(asked, module, gradient_step(module, RATE), training_digits())
    if not asked.model.startswith("py:"):
        forms = "py:package.module:factory, or mlir:FILE.mlir with --weights FILE.npz"
        raise UsageError(f"unknown model {asked.model!r}", f"{nearest(asked.model, MODELS)}; or {forms}")
    made = _made(asked.model)
    if isinstance(made, tuple):
        return _training(asked, made[0], made[1], None)
    return _inference(asked, made)


def gradient_step(module: torch.nn.Module, rate: float) -> Step:
    """Return a step of plain gradient descent on the cross entropy of ``module``: (weights, x, y) -> new weights."""
    import torch

    def step(weights: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> Mapping[str, torch.Tensor]:
        def loss(held: Mapping[str, torch.Tensor]) -> torch.Tensor:
            outputs = torch.func.functional_call(module, dict(held), (x,))
            return torch.nn.functional.cross_entropy(outputs, y)

        gradients = torch.func.grad(loss)(dict(weights))
        return {name: weights[name] - rate * gradients[name] for name in weights}

    return step


def _made(model: str) -> Any:
    """Return what a user's factory makes: a module, or (module, step)."""
    import torch

    from codesign.models.capture import user_function

    try:
        made = user_function(model.removeprefix("py:"))()
    except (UsageError, DataError):
        raise
    except Exception as error:
        raise UsageError(f"{model} raised {type(error).__name__}: {error}", "call it in python to see where") from error
    pair = isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module) and callable(made[1])
    if not pair and not isinstance(made, torch.nn.Module):
        message = f"{model} returned a {type(made).__name__}"
        raise UsageError(message, "expected a torch.nn.Module, or (module, step) to search a training step")
    return made


def _splits(asked: ProgramSpec, samples: Samples) -> Splits:
    return split(samples, asked.split_seed, named_samples(asked.report_data) if asked.report_data else None)


def _kind(asked: ProgramSpec) -> type[StableHloProgram] | type[AtenProgram]:
    return StableHloProgram if DIALECTS[asked.backend] == "stablehlo" else AtenProgram


def _inference(asked: ProgramSpec, module: torch.nn.Module) -> Prepared:
    import torch

    samples = _cast(named_samples(asked.data), _dtype(module))
    example = torch.from_numpy(samples.x[np.arange(asked.batch) % len(samples)])
    answers = _answers(module.eval(), example, asked)
    program = _kind(asked).from_module(module, [example], asked.model)
    check_outputs(answers, samples.take(np.arange(asked.batch) % len(samples)), asked.model)
    return Prepared(program, Task("inference", Judge.of(samples), _splits(asked, samples), asked.batch))


def _answers(module: torch.nn.Module, example: torch.Tensor, asked: ProgramSpec) -> Any:
    """Return what a module answers to the first inputs.

    Raises:
        UsageError: it does not take them, or answers with anything but one tensor.
    """
    import torch

    try:
        with torch.no_grad():
            found = module(example)
    except Exception as error:  # a user's module may raise anything
        text = " ".join(str(error).split())[:200]
        kind = str(example.dtype).removeprefix("torch.")
        message = f"{asked.model} does not take x of {asked.data}, {list(example.shape)} of {kind}"
        raise UsageError(f"{message}: {type(error).__name__}: {text}", "check shape and type of x") from error
    if not isinstance(found, torch.Tensor):
        message = f"{asked.model} answers with a {type(found).__name__}, expected one tensor"
        raise UsageError(message, "wrap it in a module that returns the tensor to be judged")
    return found.numpy()


def _training(asked: ProgramSpec, module: torch.nn.Module, step: Step, training: Samples | None) -> Prepared:
    import torch

    dtype = _dtype(module)
    samples = _cast(named_samples(asked.data), dtype)
    if training is None or asked.data != "digits":
        order = np.random.Generator(np.random.Philox(key=asked.split_seed + 1)).permutation(len(samples))
        cut = int(TRAINING_SHARE * len(samples))
        training, samples = samples.take(order[:cut]), samples.take(order[cut:])
    size = min(STEP_BATCH if asked.data != "digits" else DIGITS_BATCH, len(training))
    rows = batches(len(training), asked.steps, size, asked.split_seed)
    weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
    first = training.take(rows[0])
    example = [torch.from_numpy(first.x), torch.from_numpy(first.y)]
    program = _kind(asked).from_training_step(step, weights, example, asked.model)
    inputs = torch.from_numpy(samples.x[np.arange(asked.batch) % len(samples)])
    forward = _kind(asked).from_module(module.eval(), [inputs], asked.model)
    task = Task("training", Judge.of(samples), _splits(asked, samples), asked.batch, training, rows)
    return Prepared(program, task, forward)


def _from_text(asked: ProgramSpec) -> Prepared:
    if DIALECTS[asked.backend] != "stablehlo":
        raise UsageError(f"{asked.model} is StableHLO, which the back end torch does not run", "leave --backend out")
    path = Path(asked.model.removeprefix("mlir:"))
    program = StableHloProgram.from_text(path, Path(asked.weights) if asked.weights else None)
    data = [one for one in program.graph.arguments if one.role == "data"]
    if len(data) != 1:
        names = ", ".join(one.name for one in data) or "none"
        hint = "give every argument but one as an array of --weights FILE.npz, named arg0, arg1, ..."
        raise DataError(f"{path}: {len(data)} arguments are data: {names}", hint)
    samples = named_samples(asked.data)
    wanted = data[0].type
    if tuple(samples.x.shape[1:]) != wanted.shape[1:]:
        message = f"{asked.data}: a row of x has shape {list(samples.x.shape[1:])}"
        raise DataError(message, f"{path} takes {list(wanted.shape[1:])}")
    samples = _cast(samples, {"f32": "float32", "f64": "float64", "f16": "float16"}.get(wanted.element, ""))
    return Prepared(program, Task("inference", Judge.of(samples), _splits(asked, samples), wanted.shape[0]))


def _dtype(module: torch.nn.Module) -> str:
    """Return the dtype of a module's first floating-point weight, empty where it has none."""
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return str(parameter.dtype).removeprefix("torch.")
    return ""


def _cast(samples: Samples, dtype: str) -> Samples:
    """Return samples with inputs in the program's own floating-point type, where they are numbers with a fraction."""
    if samples.x.dtype.kind != "f" or not dtype or samples.x.dtype.name == dtype:
        return samples
    return Samples(samples.x.astype(dtype), samples.y)
