"""The fitted model of one expert: parameters of the physical form, a shape term, what devices have of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from codesign.costmodels.operators.experts import Expert
from codesign.costmodels.operators.network import Network
from codesign.costmodels.operators.stacks import nearest_stack
from codesign.costmodels.operators.tables import Indices, Mask, Rows
from codesign.costmodels.operators.trees import Trees, part
from codesign.quantity import Array

NO_CHANGE = np.zeros(1)
NO_TREES = Trees(
    feature=np.zeros(1, np.int16), threshold=np.full(1, np.inf, np.float32), left=np.zeros(1, np.int32),
    right=np.zeros(1, np.int32), value=np.zeros(1, np.float32), root=np.zeros(1, np.int32), depth=0, offset=0.0,
)  # fmt: skip

Group = tuple[str, str]
"""Format and stack."""

Kernel = tuple[str, str, str]
"""Device, format and stack."""


class FamilyModel(msgspec.Struct, frozen=True, eq=False):
    """The fitted model of one expert.

    Attributes:
        expert: What it is of.
        pooled: Parameters where neither format nor stack is known, shape (7,), or (8,) where the expert has an eighth.
        groups: Format and stack -> parameters; where sorts of kernels differ, an empty stack is that of any.
        trees: The shape term.
        devices: Ids of the devices it was fitted on.
        architectures: Theirs.
        scatter: Standard deviation of ln(measured / predicted) on the rows it was fitted on, robust against outliers.
        change: Added to the parameters of a device that was calibrated, shape (7,) or (8,), or (1,) where there is
            none; the shape term does not see it.
        level: Added to the logarithm of every prediction: 0 but where a device was calibrated.
        trust: Share of the shape term that holds, 0 to 1: on a device that was not measured that of the expert, on one
            that was 1, on one that was calibrated what the measurements tell.
        own: Device it was fitted on, or device and format -> its change and level, shape (8,) or (9,); ``on_device``
            applies them.
        kernels: Device, format and stack -> their parameters, where sorts of kernels have theirs; those that stand for
            an engine that is not known come first. ``on_device`` puts those of a device in place of ``groups``.
        network: The whole model for searches; None where it was not distilled.
        distilled: Standard deviation of ln(network / model).
    """

    expert: Expert
    pooled: Array
    groups: Mapping[Group, Array]
    trees: Trees
    devices: tuple[str, ...]
    architectures: tuple[str, ...]
    scatter: float
    change: Array = NO_CHANGE
    level: float = 0.0
    trust: float = 1.0
    own: Mapping[str, Array] = {}
    kernels: Mapping[Kernel, Array] = {}
    network: Network | None = None
    distilled: float = 0.0

    def parameters(self, rows: Rows) -> Array:
        """Return the parameters of each row, of its group, else of its format, else pooled; shape (7, n) or (8, n)."""
        table = np.empty((len(rows.formats), len(rows.stacks), len(self.pooled)))
        for f, form in enumerate(rows.formats):
            for s, stack in enumerate(rows.stacks):
                table[f, s] = self.of_group(form.name, stack)
        return np.asarray(table[rows.form, rows.stack].T)

    def quickest_stack(self, form: str) -> str:
        """Return the stack with the lowest floor for ``form``: some stacks were timed with work of the host.

        Where sorts of kernels differ, that is the first of those that stand for an engine.
        """
        floors = {stack: found[0] for (name, stack), found in self.groups.items() if name == form and stack}
        if self.expert.by_kernel:
            return next(iter(floors), "")
        return min(floors, key=lambda stack: floors[stack], default="")

    def named(self, rows: Rows) -> Rows:
        """Return ``rows`` with the stacks that stand for theirs, where sorts of kernels differ and theirs is not known.

        An engine has several sorts of kernels for one operator; the first of the model's that are of it stands for all.
        """
        if not self.expert.by_kernel:
            return rows
        names = [[nearest_stack(stack, [s for f, s in self.groups if f == form.name and s]) for stack in rows.stacks]
                 for form in rows.formats]  # fmt: skip
        known = tuple(sorted({name for of_form in names for name in of_form}))
        place = np.array([[known.index(name) for name in of_form] for of_form in names])
        return msgspec.structs.replace(rows, stacks=known, stack=place[rows.form, rows.stack])

    def of_group(self, form: str, stack: str) -> Array:
        """Return the parameters of a format and stack, shape (7,) or (8,)."""
        same = [found for (name, _), found in self.groups.items() if name == form]
        names = (stack, stack.partition("/")[0], "") if self.expert.by_kernel else (stack, stack.partition("/")[0])
        known = next((self.groups[form, name] for name in names if (form, name) in self.groups), None)
        return known if known is not None else np.mean(same, axis=0) if same else self.pooled


def on_device(model: FamilyModel, device: str, form: str = "") -> FamilyModel:
    """Return ``model`` as fitted to ``form`` on ``device``.

    A format that was not measured there gets the mean change of those that were; a device that was not, none. Where
    devices have shape terms or kernels apart, those of the device. Of what was measured all of the shape term holds.
    """
    model = of_device(model, device)
    if knows(model, device, form) or (not form and device in model.devices):
        model = msgspec.structs.replace(model, trust=1.0)
    own = model.own.get(f"{device} {form}", model.own.get(device))
    if own is None:
        others = [change for name, change in model.own.items() if name.partition(" ")[0] == device]
        if not others:
            return model
        own = np.mean(others, axis=0)
    return msgspec.structs.replace(model, change=own[:-1], level=float(own[-1]))


def of_device(model: FamilyModel, device: str) -> FamilyModel:
    """Return ``model`` with the shape term and the kernels of ``device`` where devices have theirs apart."""
    if model.expert.apart and device in model.devices:
        own = part(model.trees, model.devices.index(device), len(model.devices))
        model = msgspec.structs.replace(model, trees=own)
    mine = {(form, stack): found for (where, form, stack), found in model.kernels.items() if where == device}
    if not mine:
        return model
    others = {group: found for group, found in model.groups.items() if group not in mine}
    return msgspec.structs.replace(model, groups=mine | others)


def foreign(model: FamilyModel, device: str, rows: Rows) -> Mask:
    """Return the mask of ``rows`` whose sort of kernels was measured, if at all, on other devices than ``device``."""
    mine = {(form, stack) for where, form, stack in model.kernels if where == device}
    if not mine:
        return np.zeros(len(rows), np.bool_)
    table = np.array([[(form.name, stack) not in mine for stack in rows.stacks] for form in rows.formats])
    return np.asarray(table[rows.form, rows.stack])


def of_devices(model: FamilyModel, rows: Rows) -> Iterator[tuple[FamilyModel, Indices]]:
    """Yield ``of_device`` of each device of ``rows``, and the positions of its rows."""
    for number in np.unique(rows.device).tolist():
        yield of_device(model, rows.devices[number].id), np.flatnonzero(rows.device == number)


def own_parameters(model: FamilyModel, rows: Rows) -> Array:
    """Return the parameters of each row, shape (7, n) or (8, n), by the kernels of its device."""
    found = model.parameters(rows)
    for own, mine in of_devices(model, rows) if model.kernels else ():
        found[:, mine] = own.parameters(rows.take(mine))
    return found


def knows(model: FamilyModel, device: str, form: str) -> bool:
    """Return whether ``form`` was measured on ``device``."""
    return f"{device} {form}" in model.own or (device in model.own and form in {name for name, _ in model.groups})


def measured_on(model: FamilyModel, form: str) -> int:
    """Return on how many devices ``form`` was measured."""
    known = {name for name, _ in model.groups}
    return sum(form in name.split(" ")[1:] or (" " not in name and form in known) for name in model.own)
