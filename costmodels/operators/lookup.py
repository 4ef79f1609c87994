"""Which fitted model predicts an operator on a target, how far off it may be, and what that is called."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

import msgspec
import numpy as np

from codesign.costmodels.efficiency import efficiency
from codesign.costmodels.operators.experts import EXPERTS, Expert
from codesign.costmodels.operators.families import FAMILIES
from codesign.costmodels.operators.family_model import NO_TREES, FamilyModel, knows, on_device
from codesign.costmodels.operators.formats import FORMATS
from codesign.costmodels.operators.model_file import OperatorModel, read_model
from codesign.costmodels.operators.processors import PRIORS
from codesign.errors import DataError, nearest, printable
from codesign.quantity import Z90, Method
from codesign.targets import OperatorCalibration, Target

ANALYTICAL_HALF = float(np.log(3.0))
"""Half width of the logarithmic interval where nothing was measured of a family and format (assumed)."""

ANALYTICAL_SCATTER = 0.1
"""Standard deviation of ln(measured / predicted) of shapes of one device without a learned shape term (assumed)."""

ANALYTICAL_GROUPS = ("cpu", "analytical")
"""Where nothing was measured the model of a family is called after it and one of these: processors, accelerators."""

PLAIN = "fp32"
"""Format whose model of a processor bears the name of its family alone: other formats are other libraries."""

EXPERT_NAMES = frozenset(expert.name for expert in EXPERTS)

CURVES = {"convolution": "conv", "prefill": "attention_prefill", "decode": "attention_decode"}
"""Family of operators -> its name among the efficiencies, where they differ."""


class Served(NamedTuple):
    """The model of one family and format on one target.

    Attributes:
        name: Of the model; calibration overlays name it.
        model: It, moved to the target where that was calibrated.
        half: 90 % quantile of |ln(measured / predicted)|.
        method: What the prediction is called.
        seen: ``half`` of new shapes of devices that were measured.
        foreign: ``half`` and ``method`` of sorts of kernels that were measured on other devices only.
    """

    name: str
    model: FamilyModel
    half: float
    method: Method
    seen: float
    foreign: tuple[float, Method] | None = None

    @property
    def own(self) -> float:
        """Return the part of the standard deviation of ln(measured / predicted) that is of each shape alone.

        On a device that was measured, shapes and the run's level are held to share it evenly (assumed).
        """
        return float(min(self.seen, self.half / np.sqrt(2.0)) / Z90)

    @property
    def shared(self) -> float:
        """Return the part that all shapes of a run have in common, which no sum averages out."""
        return float(np.sqrt((self.half / Z90) ** 2 - self.own**2))


@cache
def shipped_model(*, trees: bool = True) -> OperatorModel:
    """Return the model that comes with the package; without ``trees`` only its networks, which is read much sooner."""
    with as_file(files("codesign.costmodels.operators").joinpath("operators.npz")) as path:
        return read_model(path, trees=trees)


def served_by(model: OperatorModel, family: str, form: str, target: Target) -> Served:
    """Return what predicts operators of ``family`` in the format named ``form`` on ``target``.

    Processors, and formats that nothing was measured of, get a physical form with what is assumed of it; a calibration
    of the target moves either. A format that was not calibrated starts from what the others showed (on a processor,
    from what fp32 did).

    Raises:
        DataError: the calibration of the target names a model that there is none of, or has another number of
            parameters.
    """
    _check_known(target)
    expert = _expert(model, family, form) if target.kind != "cpu" else None
    if expert is None:
        bare = analytical(family, form, target)
        found = Served(bare.expert.name, bare, ANALYTICAL_HALF, Method.ANALYTICAL, ANALYTICAL_HALF)
    else:
        seen = model.card.experts[expert.name].halves.get("seen", ANALYTICAL_HALF)
        here = on_device(model.families[expert.name], target.id, form)
        half, method = _tier(model, expert.name, target, form)
        other = _other_tier(model, expert.name, form) if method is Method.INTERPOLATED else None
        found = Served(expert.name, here, half, method, seen, other)
    entries = {entry.expert: entry for entry in target.operators}
    own = entries.get(entry_name(found.name, form))
    if own is not None:
        return moved(found, own)
    like = entries.get(found.name)
    if like is None:
        return found
    if form in like.formats or (not like.formats and target.kind != "cpu"):
        return moved(found, like)
    # what other formats' kernels showed says most of these, and not how far off they are
    return found._replace(model=moved(found, like).model)


def entry_name(name: str, form: str) -> str:
    """Return what a calibration of the model ``name`` in the format named ``form`` alone is called."""
    if name in EXPERT_NAMES:
        return f"{name}-{form}"
    family, _, group = name.rpartition("-")
    return name if group == ANALYTICAL_GROUPS[0] and form == PLAIN else f"{family}-{form}-{group}"


@cache
def _known_names() -> frozenset[str]:
    names = [f"{family}-{group}" for family in FAMILIES for group in ANALYTICAL_GROUPS]
    of_experts = {entry_name(expert.name, form) for expert in EXPERTS for form in expert.serves}
    return EXPERT_NAMES | of_experts | set(names) | {entry_name(name, form.name) for name in names for form in FORMATS}


def _check_known(target: Target) -> None:
    for entry in target.operators:
        if entry.expert not in _known_names():
            raise DataError(
                f"calibration of {target.id}: operators.{printable(entry.expert, 40)}: there is no such model",
                f"{nearest(entry.expert, EXPERT_NAMES)}; from {entry.source}",
            )


def moved(served: Served, entry: OperatorCalibration) -> Served:
    """Return ``served`` with the calibration ``entry``.

    Raises:
        DataError: it is of a model with another number of parameters.
    """
    expected = len(served.model.pooled)
    if len(entry.change) != expected:
        raise DataError(
            f"calibration: operators.{entry.expert}.change: found {len(entry.change)} numbers, expected {expected}",
            f"calibrate again: it is of another version of the model; from {entry.source}",
        )
    model = msgspec.structs.replace(served.model, change=np.array(entry.change), level=entry.level, trust=entry.trust)
    return served._replace(model=model, half=entry.half, method=Method.CALIBRATED, foreign=None)


def _expert(model: OperatorModel, family: str, form: str) -> Expert | None:
    return next((e for e in EXPERTS if e.family == family and form in e.serves and e.name in model.families), None)


def analytical(family: str, form: str, target: Target) -> FamilyModel:
    """Return the physical form of ``family`` with what is assumed of targets like ``target``, without a shape term."""
    kind = target.kind
    group = ANALYTICAL_GROUPS[int(kind != "cpu")]
    expert = Expert(f"{family}-{group}", family, (), (), False, False)
    if kind == "cpu":
        parameters = np.log(np.array(PRIORS[family]))
    else:
        curve = efficiency(kind, CURVES.get(family, family), form, target.architecture)
        parameters = expert.prior.copy()
        parameters[:3] = np.log([curve.floor_us * 1e-6, curve.rate, curve.memory])
    return FamilyModel(expert, parameters, {}, NO_TREES, (), (), ANALYTICAL_SCATTER)


def _tier(model: OperatorModel, expert: str, target: Target, form: str) -> tuple[float, Method]:
    """Return half width of the logarithmic interval and source of an expert on a target."""
    fitted = model.card.experts[expert]
    if knows(model.families[expert], target.id, form):
        return fitted.halves.get("seen", ANALYTICAL_HALF), Method.INTERPOLATED
    if target.architecture in fitted.architectures:
        return _other_tier(model, expert, form)
    tier, method = ("worst", Method.NEW_FAMILY)
    return fitted.halves.get(f"{tier} {form}", fitted.halves.get(tier, ANALYTICAL_HALF)), method


def _other_tier(model: OperatorModel, expert: str, form: str) -> tuple[float, Method]:
    """Return ``_tier`` of what was measured on devices of the same family only."""
    halves = model.card.experts[expert].halves
    return halves.get(f"unseen {form}", halves.get("unseen", ANALYTICAL_HALF)), Method.SAME_FAMILY
