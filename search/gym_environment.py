"""The Gymnasium side of an environment: spaces of named knobs and metrics, one-step episodes. Imports gymnasium.

Gymnasium: Towers et al., arXiv 2407.17032. Vector rewards follow MO-Gymnasium (``reward_space``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import msgspec
import numpy as np
from gymnasium import spaces

from codesign.errors import UsageError
from codesign.run import Run
from codesign.search.parameters import Real
from codesign.search.problem import Points, Problem, Status
from codesign.search.reward import Scorer
from codesign.search.space import BoxSpace
from codesign.search.step_record import Step, StepRecord

KNOWN = "known"
"""Entry of an observation that says which of the others, in their order, are known; those that are not read 0."""
POINT = "point"
"""The one knob of a finite space that is no box: the number of the design."""


class Spaces(NamedTuple):
    """The spaces of an environment, and the metrics in the order of ``known``."""

    action: Any
    observation: Any
    metrics: tuple[str, ...]


def spaces_of(problem: Problem) -> Spaces:
    """Return the spaces of ``problem``.

    Raises:
        UsageError: its space is neither a box nor finite, or a metric has the name of the mask.
    """
    metrics = tuple(dict.fromkeys([o.name for o in problem.objectives] + [m.name for m in problem.metrics]))
    if KNOWN in metrics:
        raise UsageError(f"a metric of {problem.name} is called {KNOWN!r}", "rename it: that is the mask's name")
    seen: dict[str, Any] = {name: spaces.Box(-np.inf, np.inf, (1,), np.float64) for name in metrics}
    seen[KNOWN] = spaces.MultiBinary(len(metrics))
    space = problem.space
    knobs: dict[str, Any]
    if isinstance(space, BoxSpace):
        knobs = {
            p.name: spaces.Box(p.low, p.high, (1,), np.float64)
            if isinstance(p, Real)
            else spaces.Discrete(p.count or 0)
            for p in space.parameters
        }
    elif space.size is not None:
        knobs = {POINT: spaces.Discrete(space.size)}
    else:
        raise UsageError(
            f"the space of {problem.name} has no named knobs and no end", "expected a box, or a finite one"
        )
    return Spaces(spaces.Dict(knobs), spaces.Dict(seen), metrics)


class SearchEnvironment(gymnasium.Env):  # type: ignore[misc, type-arg, unused-ignore]
    """A search problem, a step an episode.

    ``action_space`` is a ``Dict`` of the problem's parameters by name: ``Discrete`` for choices, ordered values and
    integers (the number of the value), ``Box`` of shape (1,) for real ones, in their unit. The value of a parameter
    that is inactive under the others is ignored. ``observation_space`` is a ``Dict`` of objectives and metrics, in SI
    and as people read them (nothing negated), and the mask ``known``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own spelling
    render_mode = None

    def __init__(self, record: StepRecord, spaces: Spaces, scorer: Scorer, reference: Step, details: bool) -> None:
        """Set up; ``make_env`` is the way to get one."""
        self.problem, self.run = record.problem, record.run
        self.action_space, self.observation_space = spaces.action, spaces.observation
        self._knobs: dict[str, Any] = spaces.action.spaces
        self._record, self._metrics, self._scorer = record, spaces.metrics, scorer
        self._reference, self._details = reference, details
        self.number = reference.number
        if scorer.width is not None:
            self.reward_space = _vector(scorer.width)

    run: Run
    """The run directory that every step is appended to."""
    number: int
    """Id in the run of the design that was evaluated last."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Return the observation and the info of the reference design, whatever the seed."""
        super().reset(seed=seed, options=options)
        return self._observation(self._reference), self._info(self._reference)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Evaluate the design that ``action`` names.

        Returns:
            Observation, reward, True (the episode is over), False (it was not cut short), and info: ``design``,
            ``status``, ``reason`` (None where feasible), ``values`` and their 90 % intervals ``low`` and ``high``, None
            where unknown, ``units``, ``violations`` by constraint, relative, and ``details``. The same action gives
            the same info, so the number of the step is not in it: that is ``number``.

        Raises:
            UsageError: the action is not in the action space.
        """
        step = self._record.evaluate(self.point(action))
        self.number = step.number
        return self._observation(step), self._scorer(step.results), True, False, self._info(step)

    def close(self) -> None:
        """End the run and write its derived files."""
        self._record.close()

    def point(self, action: Any) -> Points:
        """Return the point (1 row) that ``action`` names.

        Raises:
            UsageError: it is not in the action space; the knob is named.
        """
        if not self.action_space.contains(action):
            self._refuse(action)
        space = self.problem.space
        if not isinstance(space, BoxSpace):
            return space.at(np.array([action[POINT]], np.int64))
        row = [float(np.asarray(action[name]).reshape(-1)[0]) for name in space.names]
        return space.repair(np.array([row]))

    def _refuse(self, action: Any) -> None:
        if not isinstance(action, dict) or set(action) != set(self._knobs):
            raise UsageError("the action is no dict of the knobs", f"expected {', '.join(self._knobs)}")
        for name, knob in self._knobs.items():
            if not knob.contains(action[name]):
                raise UsageError(f"the action sets {name!r} to {action[name]!r}", f"expected one of {knob}")

    def _observation(self, step: Step) -> dict[str, Any]:
        values = self._values(step)
        known = np.array([values[name] is not None for name in self._metrics], np.int8)
        return {name: np.array([values[name] or 0.0]) for name in self._metrics} | {KNOWN: known}

    def _values(self, step: Step) -> dict[str, float | None]:
        """Return the objectives and metrics of a step as people read them; None where unknown."""
        shown = step.results.objectives[0] * self._scorer.sign
        numbers = {name: float(column[0]) for name, column in step.results.metrics.items()}
        numbers |= dict(zip(self._scorer.names, shown.tolist(), strict=True))
        return {name: _finite(numbers.get(name, np.nan)) for name in self._metrics}

    def _info(self, step: Step) -> dict[str, Any]:
        results, sign, names = step.results, self._scorer.sign, self._scorer.names
        ends = [results.low[0] * sign, results.high[0] * sign]
        low, high = np.minimum(*ends).tolist(), np.maximum(*ends).tolist()
        units = {metric.name: metric.unit for metric in self.problem.metrics}
        units |= {objective.name: objective.unit for objective in self.problem.objectives}
        info: dict[str, Any] = {
            "design": self.problem.space.rows(step.point)[0],
            "status": Status(int(results.status[0])).name.lower(),
            "reason": results.reasons[int(results.reason[0])] if results.reason[0] >= 0 else None,
            "values": self._values(step),
            "low": dict(zip(names, map(_finite, low), strict=True)),
            "high": dict(zip(names, map(_finite, high), strict=True)),
            "units": units,
            "violations": {
                c.text: _finite(max(float(v), 0.0))
                for c, v in zip(self.problem.constraints, results.violations[0].tolist(), strict=False)
            },
        }
        if self._details:
            info["details"] = msgspec.to_builtins(self.problem.describe(step.point)) if results.ok[0] else {}
        return info


def _vector(width: int) -> Any:
    return spaces.Box(-np.inf, np.inf, (width,), np.float64)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
