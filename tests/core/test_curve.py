from __future__ import annotations

import pytest
from neumeta_core.curve import Curve, CurvePoint
from pydantic import ValidationError


def point(width: int, macs: int, quality: float) -> CurvePoint:
    return CurvePoint(compression=0.5, widths={"a": width, "b": width}, params=width, macs=macs, quality=quality)


# Not in order of size: the file may hold points in any order.
CURVE = Curve(metric="accuracy", split="test", samples=10, points=(point(4, 400, 0.8), point(8, 1000, 0.9), point(2, 200, 0.6)))


def at(one: int, two: int, macs: int) -> tuple[float | None, str]:
    estimate = CURVE.at({"b": two, "a": one}, macs)
    assert estimate.metric == "accuracy"
    return estimate.value, estimate.kind


def test_a_measured_configuration_has_its_measured_value() -> None:
    assert at(4, 4, 400) == (0.8, "measured")
    assert at(8, 8, 1000) == (0.9, "measured")


def test_between_points_it_is_linear_in_multiply_adds() -> None:
    assert at(3, 3, 300) == (0.7, "interpolated")
    assert at(5, 6, 550) == (0.825, "interpolated")


def test_other_widths_with_the_multiply_adds_of_a_point_are_no_measurement() -> None:
    assert at(2, 8, 400) == (0.8, "interpolated")


def test_outside_the_points_it_is_the_nearest_value_and_marked() -> None:
    assert at(1, 1, 100) == (0.6, "extrapolated")
    assert at(9, 9, 2000) == (0.9, "extrapolated")


def test_a_curve_of_one_point_promises_nothing_else() -> None:
    single = Curve(metric="loss", split="test", samples=1, points=(point(4, 400, 0.8),))
    assert [single.at({"a": 3, "b": 3}, macs).kind for macs in (100, 400, 900)] == ["extrapolated"] * 3


def in_int8(*qualities: float | None) -> Curve:
    points = [p.model_copy(update={"quality_in": {} if q is None else {"int8": q}}) for p, q in zip(CURVE.points, qualities, strict=True)]
    return CURVE.model_copy(update={"points": tuple(points)})


def test_a_precision_that_was_measured_has_values_of_its_own() -> None:
    curve = in_int8(0.7, 0.8, 0.4)
    estimates = [curve.at({"a": width, "b": width}, macs, "int8") for width, macs in ((4, 400), (3, 300), (9, 2000))]
    assert [(e.value, e.kind, e.precision) for e in estimates] == [
        (0.7, "measured", "int8"),
        (0.55, "interpolated", "int8"),
        (0.8, "extrapolated", "int8"),
    ]
    assert curve.at({"a": 4, "b": 4}, 400) == CURVE.at({"a": 4, "b": 4}, 400)


@pytest.mark.parametrize("curve", [CURVE, in_int8(0.7, None, 0.4)])
def test_of_a_precision_that_was_not_measured_everywhere_it_has_the_fp32_value_and_says_so(curve: Curve) -> None:
    for width, macs in ((4, 400), (3, 300), (9, 2000)):
        estimate = curve.at({"a": width, "b": width}, macs, "int8")
        assert estimate == CURVE.at({"a": width, "b": width}, macs)
        assert estimate.precision == "fp32"


@pytest.mark.parametrize("change", [{"points": ()}, {"samples": 0}, {"extra": 1}])
def test_a_curve_needs_points_and_samples(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Curve.model_validate(CURVE.model_dump() | change)


def test_quality_is_finite() -> None:
    with pytest.raises(ValidationError):
        point(4, 400, float("nan"))
    with pytest.raises(ValidationError):
        CurvePoint.model_validate(point(4, 400, 0.8).model_dump() | {"quality_in": {"int8": float("nan")}})
