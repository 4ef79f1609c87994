"""Optuna's samplers behind our protocol: for few, dear evaluations over a box space.

The study lives in memory only and is never the truth: our journal is. The sampler is made anew for every
batch with a seed derived from (seed, batch), so there is no hidden random state; a resumed run replays what
was told, which gives the same study again.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import EnvironmentLacks, UsageError, nearest
from codesign.search.engine import pack, unpack
from codesign.search.parameters import Categorical, Real
from codesign.search.problem import Points, Results
from codesign.search.space import BoxSpace, Space
from codesign.search.unseen import Unseen, generator_of

if TYPE_CHECKING:
    import optuna

SAMPLERS = {
    "tpe": "TPESampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "random": "RandomSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
}
SINGLE_OBJECTIVE = ("cmaes",)
_TRIES = 8
"""Suggestions drawn for one point before a repeat is given up and an unseen random point is taken."""


def check_sampler(name: str) -> None:
    """Raise unless ``name`` is a sampler and Optuna is installed; does not import it."""
    if name not in SAMPLERS:
        raise UsageError(f"unknown Optuna sampler {name!r}", nearest(name, SAMPLERS))
    if find_spec("optuna") is None:
        raise EnvironmentLacks("the engine optuna:* needs the package optuna", "pip install optuna")


class OptunaEngine:
    """One of Optuna's samplers, in memory."""

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        evaluations: int | None = None,
        sampler: str = "tpe",
        objectives: int = 1,
        population: int | None = None,
    ) -> None:
        """Set up ``sampler`` for a box space; ``population`` is the batch (genetic samplers: also theirs).

        Raises:
            UsageError: another kind of space, or a sampler that cannot do several objectives.
        """
        check_sampler(sampler)
        if not isinstance(space, BoxSpace):
            raise UsageError(f"optuna:{sampler} searches box spaces only", "choose nsga2, random or local")
        if objectives > 1 and sampler in SINGLE_OBJECTIVE:
            raise UsageError(
                f"optuna:{sampler} optimises one objective, this problem has {objectives}",
                "name one with --objectives, or choose optuna:tpe, optuna:nsga2 or optuna:gp",
            )
        self.name = f"optuna:{sampler}"
        self.space, self.seed, self.sampler, self.objectives = space, seed, sampler, objectives
        genetic = sampler in ("nsga2", "nsga3")
        self.population = population or (int(np.clip((evaluations or 1000) // 20, 12, 50)) if genetic else 8)
        self.batch = self.population
        self._reset()

    def _reset(self) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(directions=["minimize"] * self.objectives, sampler=self._make(0))
        self._distributions = _distributions(self.space)
        self._batches = 0
        self._unseen = Unseen(self.space, self.seed)
        self._pending: dict[int, optuna.Trial] = {}
        self._told: list[tuple[int, Points, Any, Any]] = []

    def _make(self, batch: int) -> Any:
        import optuna

        seed = int(generator_of(self.seed, batch).integers(0, 2**31 - 1))
        options: dict[str, Any] = {"seed": seed}
        if self.sampler in ("nsga2", "nsga3"):
            options["population_size"] = self.population
        if self.sampler == "tpe":
            options |= {"multivariate": True, "group": True, "constant_liar": True, "n_startup_trials": self.population}
        if self.sampler != "random" and self.sampler != "qmc" and self.sampler != "cmaes":
            options["constraints_func"] = _violation_of
        kind = getattr(optuna.samplers, SAMPLERS[self.sampler])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return kind(**options)
            except ImportError as error:
                raise EnvironmentLacks(f"optuna:{self.sampler}: {error}", "install what it names") from None

    def ask(self, count: int) -> Points:
        """Return points the sampler suggests; repeats are replaced by unseen random points."""
        import optuna

        self._batches += 1
        generator = generator_of(self.seed, self._batches)
        rows: list[Points] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study.sampler = self._make(self._batches)
            for _ in range(count):
                if self._unseen.exhausted:
                    break
                row, key, trial = self._suggest()
                for _ in range(_TRIES):
                    if not self._unseen.knows(key):
                        break
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    row, key, trial = self._suggest()
                if self._unseen.knows(key):
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    row = self._unseen.fill(generator, 1)
                else:
                    self._pending[key] = trial
                    self._unseen.note(row)
                rows.append(row)
        return np.concatenate(rows) if rows else self.space.sample(generator, 0)

    def _suggest(self) -> tuple[Points, int, optuna.Trial]:
        """Return one suggestion: its point, key and trial."""
        trial = self._study.ask()
        row = self.space.low[None, :].copy()
        for index, (name, distribution) in enumerate(self._distributions.items()):
            if self.space.active(row)[0, index]:
                row[0, index] = trial._suggest(name, distribution)
        row = self.space.repair(row)
        return row, int(self.space.key(row)[0]), trial

    def tell(self, points: Points, results: Results) -> None:
        """Tell Optuna; points it did not suggest are added to its study, failures are told as failures."""
        self._unseen.note(points)
        self._told.append((self._batches, points, results.objectives, results.violation))
        for row, key, values, violation in zip(
            points,
            self.space.key(points).tolist(),
            results.objectives.tolist(),
            results.violation.tolist(),
            strict=True,
        ):
            self._tell_one(row[None, :], self._pending.pop(key, None), values, violation)

    def _tell_one(self, row: Points, trial: Any, values: list[float], violation: float) -> None:
        import optuna

        complete = bool(np.isfinite(values).all())
        state = optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.FAIL
        amount = violation if np.isfinite(violation) else 1e30
        if trial is not None:
            trial.set_user_attr("violation", amount)
            self._study.tell(trial, values if complete else None, state=state)
        elif complete:
            active = self.space.active(row)[0]
            codes = {n: row[0, i] for i, n in enumerate(self._distributions) if active[i]}
            params = {n: float(c) if self.space.real[self.space.names.index(n)] else int(c) for n, c in codes.items()}
            distributions = {n: self._distributions[n] for n in params}
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=distributions, values=values, user_attrs={"violation": amount}
                )
            )

    def state(self) -> dict[str, Any]:
        """Return everything told so far: replaying it gives the study again."""
        return {
            "batches": self._batches,
            "told": [[b, pack(p), pack(o), pack(v)] for b, p, o, v in self._told],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Replay what was told."""
        self._reset()
        for batch, points, objectives, violation in state["told"]:
            rows, values, amount = unpack(points), unpack(objectives), unpack(violation)
            if batch > self._batches:
                self.ask(len(rows))
            self.tell(rows, _results(values, amount))
        self._batches = int(state["batches"])


def _distributions(space: BoxSpace) -> dict[str, Any]:
    """Return Optuna's distribution of every parameter's code."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for p in space.parameters:
        if isinstance(p, Real):
            found[p.name] = FloatDistribution(p.low, p.high, log=p.log)
        elif isinstance(p, Categorical):
            found[p.name] = CategoricalDistribution(range(len(p.values)))
        else:
            found[p.name] = IntDistribution(0, (p.count or 1) - 1)
    return found


def _results(values: Any, violation: Any) -> Results:
    """Return results with these objectives and total violations."""
    from codesign.search.problem import Status

    status = np.where(violation > 0.0, np.uint8(Status.INFEASIBLE), np.uint8(Status.OK))
    made = Results.make(values, violations=violation[:, None], status=status)
    made.objectives[...] = values
    return made


def _violation_of(trial: Any) -> tuple[float]:
    """Return a trial's total violation; > 0 is infeasible to Optuna."""
    return (float(trial.user_attrs.get("violation", 0.0)),)
