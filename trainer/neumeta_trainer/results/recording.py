"""From finished runs to records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neumeta_trainer.config import Recipe
from neumeta_trainer.results.record import Measurement, RunRecord, measurements_of
from neumeta_trainer.results.report import Result, file_facts
from neumeta_trainer.training.effort import manifold_macs, networks_macs
from neumeta_trainer.training.sampler import Sampler

SLICES = "slices"
"""The family without its INR: weights of the full network, normalization calibrated for every size."""


def records_of(recipe: Recipe, result: Result, command: str, variant: str = "") -> list[RunRecord]:
    """The records of a run: the manifold, and the slices of the family that its INR was fitted to.

    ``variant`` says in which settings the run departs from its recipe, or is a label for them.
    """
    header, facts = result.manifold.header, file_facts(result.manifold)
    curve = header.curve
    assert curve is not None
    sampler = Sampler.of(recipe, header.architecture)
    networks = {name: stage for name, stage in (("base", recipe.base), ("family", recipe.family)) if stage}
    stages = {name: stage.optimization.steps for name, stage in networks.items()}
    points = measurements_of(curve)
    slices = RunRecord(
        recipe=recipe.study or recipe.name,
        tier=recipe.tier,
        method=_method(f"{SLICES} of {recipe.beside}" if recipe.beside else SLICES, variant),
        seed=recipe.seed,
        metric=curve.metric,
        split=curve.split,
        samples=curve.samples,
        measurements=_with_quality((*points, *result.unequal), (*result.slices.values(), *result.unequal_slices)),
        training=stages,
        trained_macs=networks_macs(recipe, sampler),
        seconds=_seconds(result.seconds, stages),
        machine=result.machine,
        command=command,
    )
    stages = stages | {"fit": recipe.fit.optimization.steps} | ({"tune": recipe.tune.optimization.steps} if recipe.tune else {})
    manifold = slices.model_copy(
        update={
            "method": _method(header.inr.kind, variant),
            "measurements": (*points, *result.unequal, *result.beyond),
            "training": stages,
            "trained_macs": manifold_macs(recipe, sampler),
            "seconds": _seconds(result.seconds, [*stages, "targets"]),
            "file": {
                "bytes": facts["bytes"],
                "bytes_over_full_network": facts["bytes_over_full_network"],
                "coordinate_network_share": facts["coordinate_network_share"],
            },
        }
    )
    return [manifold, slices]


def _method(name: str, variant: str) -> str:
    return f"{name} {variant}" if variant else name


def _with_quality(points: tuple[Measurement, ...], qualities: tuple[float, ...]) -> tuple[Measurement, ...]:
    return tuple(point.model_copy(update={"quality": quality}) for point, quality in zip(points, qualities, strict=True))


def _seconds(seconds: Mapping[str, float], stages: Iterable[str]) -> float:
    return round(sum(seconds.get(stage, 0.0) for stage in stages), 1)
