from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from neumeta_core.configuration import Configuration
from neumeta_core.errors import InvalidField
from neumeta_core.manifold import Manifold
from neumeta_core.spec import Spec

SPEC = Spec(model="lenet", version=3, manifold="sha256:" + "ab" * 32, widths=Configuration((("conv2", 20), ("conv1", 7))), precision="fp16")
CHANGES: list[dict[str, Any]] = [
    {"model": "lenet2"},
    {"version": 4},
    {"manifold": "sha256:" + "ac" * 32},
    {"widths": Configuration((("conv2", 20), ("conv1", 8)))},
    {"precision": "fp32"},
    {"opset": 18},
]


def test_the_canonical_form_is_one_and_stays() -> None:
    assert SPEC.canonical() == (
        b'{"manifold":"sha256:abababababababababababababababababababababababababababababababab","model":"lenet","opset":17,'
        b'"precision":"fp16","version":3,"widths":{"conv1":7,"conv2":20}}'
    )


def test_the_digest_and_the_key_stay() -> None:
    assert SPEC.digest == "sha256:4fc0b3774e44b80a6296c0b8b762a4b7400c0f07c8e74c1595520b964c4fc17f"
    assert SPEC.cache_key("cpu-fp32-k1") == "b8831bea9987112012086751aa50e257d955a7ab1648ba819b479ad4b70b0320"


def test_the_order_of_groups_does_not_matter() -> None:
    assert replace(SPEC, widths=Configuration((("conv1", 7), ("conv2", 20)))).digest == SPEC.digest


def test_all_fields_are_changed_below() -> None:
    assert [name for change in CHANGES for name in change] == [field.name for field in fields(Spec)]


@pytest.mark.parametrize("change", CHANGES)
def test_every_field_changes_digest_and_key(change: dict[str, Any]) -> None:
    other = replace(SPEC, **change)
    assert other.digest != SPEC.digest
    assert other.cache_key("cpu-fp32-k1") != SPEC.cache_key("cpu-fp32-k1")


def test_the_arithmetic_and_the_builder_change_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key, digest = SPEC.cache_key("cpu-fp32-k1"), SPEC.digest
    assert SPEC.cache_key("cuda-fp32-k1") != key
    assert SPEC.cache_key("cpu-fp32-k2") != key
    monkeypatch.setattr("neumeta_core.spec.BUILDER_VERSION", "next")
    assert SPEC.cache_key("cpu-fp32-k1") != key
    assert SPEC.digest == digest


def test_a_member_has_one_spec_however_it_was_asked_for(tiny_manifold: Manifold) -> None:
    by_ratio = Spec.of(tiny_manifold, tiny_manifold.configure(compression=0.5), "fp32")
    by_name = Spec.of(tiny_manifold, tiny_manifold.configure(widths={"conv2": 6, "conv1": 4}), "fp32")
    assert by_ratio == by_name
    assert by_ratio.as_dict() == {
        "model": "tiny",
        "version": 1,
        "manifold": tiny_manifold.digest,
        "widths": {"conv1": 4, "conv2": 6},
        "precision": "fp32",
        "opset": 17,
    }


@pytest.mark.parametrize("precision", ["int4", "", "FP32"])
def test_precisions_are_known_by_name(tiny_manifold: Manifold, precision: str) -> None:
    with pytest.raises(InvalidField, match="expected one of fp32, fp16, int8"):
        Spec.of(tiny_manifold, tiny_manifold.configure(0.5), precision)
