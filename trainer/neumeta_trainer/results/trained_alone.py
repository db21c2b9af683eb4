"""Networks trained alone, as a card shows them beside the members of a manifold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from neumeta_core.curve import Curve
from neumeta_core.manifold import Manifold

from neumeta_trainer.errors import RecordRefused
from neumeta_trainer.results.record import ALONE, DISTILLED, EQUAL_MACS, RunRecord, read_record


@dataclass(frozen=True)
class TrainedAlone:
    """What they are worth."""

    qualities: Mapping[float, float] = field(default_factory=dict)
    """By compression."""
    steps: int | None = None
    """What each of them took; None: their record does not say."""
    command: str = ""
    """What trained them."""


def trained_alone_in(folder: Path, manifold: Manifold) -> TrainedAlone:
    """The results of ``neumeta alone`` in its folder.

    Raises RecordRefused when there are none, and for those that a manifold cannot be compared with: of another recipe, tier, split or seed,
    of other sizes, of networks that had a teacher or trained for unequally long.
    """
    path, curve = folder / ALONE, manifold.header.curve
    assert curve is not None
    record = read_record(path)
    try:
        _check_origin(record, manifold, curve)
        _check_sizes(record, curve)
        steps = {*record.training.values()}
        if len(steps) > 1:
            raise RecordRefused(f"its networks took {sorted(steps)} steps; expected as many for each of them.")
    except RecordRefused as error:
        raise RecordRefused(f"{path}: {error}") from None
    qualities = {point.compression: point.quality for point in record.measurements if point.compression is not None}
    return TrainedAlone(qualities, steps.pop() if steps else None, record.command)


def _check_origin(record: RunRecord, manifold: Manifold, curve: Curve) -> None:
    training = manifold.header.training
    recipe = training["recipe"]
    assert isinstance(recipe, dict)
    # Older files have neither study nor tier.
    wanted = {"recipe": recipe.get("study") or recipe["name"], "tier": recipe.get("tier", ""), "split": curve.split, "seed": training["seed"]}
    for name, value in (wanted | {"samples": curve.samples}).items():
        if (found := getattr(record, name)) != value:
            raise RecordRefused(f"its {name} is {found!r}, that of the manifold {value!r}; they cannot be compared.")
    method, _, variant = record.method.partition(" ")
    if method != "alone" or variant.startswith((DISTILLED, EQUAL_MACS)):
        expected = "networks that learned from the data's labels, without --distilled or --equal-macs"
        raise RecordRefused(f"its method is {record.method!r}; expected 'alone': {expected}.")


def _check_sizes(record: RunRecord, curve: Curve) -> None:
    members = {point.compression: (point.params, point.macs) for point in curve.points}
    for point in record.measurements:
        size = point.params, point.macs
        if point.compression is not None and (wanted := members.get(point.compression, size)) != size:
            found = f"{size[0]:,} parameters and {size[1]:,} multiply-adds"
            raise RecordRefused(
                f"its network of compression {point.compression:g} has {found}, the manifold's member {wanted[0]:,} and {wanted[1]:,}."
            )
