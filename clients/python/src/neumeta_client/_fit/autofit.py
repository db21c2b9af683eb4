"""The largest network that this device runs within limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from neumeta_client._errors import FitImpossible
from neumeta_client._fit.goal import Goal
from neumeta_client._fit.report import Candidate, Fit, FitReport
from neumeta_client._fit.search import compressions_of, next_size, roundness
from neumeta_client._fit.trials import Trial, Trials
from neumeta_client._flows import Flow


def find_fit(goal: Goal, trials: Trials) -> Flow[Fit]:
    """Measure few sizes and return the largest that fits. Raises FitImpossible."""
    model = yield from trials.model()
    largest = yield from (trials.run(compression=0) if goal.max_bytes is None else trials.run(budget={"bytes": goal.max_bytes}))
    first = largest.artifact.manifest.compression.effective
    compressions = [first, *(step for step in compressions_of(model.groups, model.max_compression) if step > first)]
    roundnesses = [roundness(model.groups, compression) for compression in compressions]
    tried, loads = {0: largest}, {0: _load(goal, largest)}
    index = next_size(roundnesses, loads)
    while index is not None:
        tried[index] = yield from trials.run(compression=compressions[index])
        loads[index] = _load(goal, tried[index])
        index = next_size(roundnesses, loads)
    report = _report(goal, trials, [(trial, loads[index] <= 1) for index, trial in tried.items()])
    fitting = [index for index in tried if loads[index] <= 1]
    if not fitting:
        raise FitImpossible(_sentence(trials.name, goal, report), report=report)
    best = yield from trials.again(tried[min(fitting)])
    return Fit(best.artifact, best.latency.of(goal.metric), report)


def _load(goal: Goal, trial: Trial) -> float:
    return goal.load(trial.artifact.manifest.size, trial.latency)


def _report(goal: Goal, trials: Trials, tried: Sequence[tuple[Trial, bool]]) -> FitReport:
    """Of sizes that came to the same artifact one is told."""
    by_digest = {trial.artifact.digest: Candidate(**vars(trial.measurement()), fits=fits) for trial, fits in tried}
    manifest = tried[0][0].artifact.manifest
    return FitReport(manifest.model, manifest.version, trials.precision, goal, trials.device, tuple(by_digest.values()))


def _sentence(name: str, goal: Goal, report: FitReport) -> str:
    limits = ", ".join(f"{limit} {value}" for limit, value in asdict(goal).items() if limit != "metric" and value is not None)
    lowest = f"the lowest latency reached is {report.lowest_latency_ms:.3g} ms by {goal.metric}"
    memory = [used for candidate in report.candidates if (used := candidate.latency.memory_bytes) is not None]
    least = f", the least memory {min(memory)} bytes" if memory else ""
    return f"No size of {name} that was measured stays within {limits} on this device; {lowest}{least}."
