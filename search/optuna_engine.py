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
from codesign.search.parameters import Categorical, Integer, Real
from codesign.search.problem import Points, Results
from codesign.search.space import BoxSpace, Space
from codesign.search.unseen import generator_of

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
        self._batches = 0
        self._seen: set[int] = set()
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
                if self.space.size is not None and len(self._seen) >= self.space.size:
                    break
                row, key, trial = self._suggest()
                for _ in range(_TRIES):
                    if key not in self._seen:
                        break
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    row, key, trial = self._suggest()
                if key in self._seen:
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    row = self._random_unseen(generator)
                    if not len(row):
                        break
                    key = int(self.space.key(row)[0])
                else:
                    self._pending[key] = trial
                self._seen.add(key)
                rows.append(row)
        return np.concatenate(rows) if rows else self.space.sample(generator, 0)

    def _random_unseen(self, generator: np.random.Generator) -> Points:
        from codesign.search.unseen import Unseen

        unseen = Unseen(self.space, self.seed)
        unseen._seen = self._seen
        row = unseen.fill(generator, 1)
        return row

    def _suggest(self) -> tuple[Points, int, optuna.Trial]:
        trial = self._study.ask()
        row = self.space.low[None, :].copy()
        for index, p in enumerate(self.space.parameters):
            if not self.space.active(row)[0, index]:
                continue
            if isinstance(p, Categorical):
                row[0, index] = trial.suggest_categorical(p.name, range(len(p.values)))
            elif isinstance(p, Real):
                row[0, index] = trial.suggest_float(p.name, p.low, p.high, log=p.log)
            elif isinstance(p, Integer):
                row[0, index] = trial.suggest_int(p.name, 0, (p.count or 1) - 1)
            else:
                row[0, index] = trial.suggest_int(p.name, 0, len(p.values) - 1)
        row = self.space.repair(row)
        return row, int(self.space.key(row)[0]), trial

    def tell(self, points: Points, results: Results) -> None:
        """Tell Optuna; points it did not suggest are added to its study, failures are told as failures."""
        self._told.append((self._batches, points, results.objectives, results.violation))
        for row, key, values, violation in zip(
            points, self.space.key(points).tolist(), results.objectives.tolist(), results.violation.tolist(), strict=True
        ):
            self._seen.add(key)
            self._tell_one(row[None, :], self._pending.pop(key, None), values, violation)

    def _tell_one(self, row: Points, trial: Any, values: list[float], violation: float) -> None:
        import optuna

        state = optuna.trial.TrialState.COMPLETE if np.isfinite(values).all() else optuna.trial.TrialState.FAIL
        done = state == optuna.trial.TrialState.COMPLETE
        if trial is None:
            trial = self._study.ask(fixed_distributions={})
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        trial.set_user_attr("violation", violation if np.isfinite(violation) else 1e30)
        self._study.tell(trial, values if done else None, state=state)

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
