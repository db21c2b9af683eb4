"""The fast paths against the plain one."""

from __future__ import annotations

import random

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Widths
from neumeta_core.assembly import assemble
from neumeta_core.configuration import Configuration, from_widths, uniform
from neumeta_core.errors import DeviceUnavailable, InvalidField
from neumeta_core.inr import INR, AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, Sampling, build_inr
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import materialize, prepare
from torch import Tensor

from tests import patched, tiny

KINDS: dict[str, InrSettings] = {
    "mlp": MlpSettings(layers=3, hidden=16),
    "mlp of one layer": MlpSettings(layers=1, hidden=16),
    "mlp, relative": MlpSettings(layers=2, hidden=16, positions="relative"),
    "anchored": AnchoredSettings(hidden=8, rank=3),
    "anchored with levels": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4)),
    "anchored with moments": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True),
    "anchored, exact": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True, exact=True),
    "anchored with scales": AnchoredSettings(hidden=8, rank=3, levels=(0.75, 0.4), moments=True, exact=True, scales=6),
    "factorised": FactorisedSettings(hidden=16, rank=3),
}
FAMILIES = {"tiny": tiny.tiny_architecture(), "patched": patched.patched_architecture()}
SAMPLINGS = {"plain": Sampling(), "integrated": Sampling(noise=0.5, integrated=True)}


def wide_architecture() -> Architecture:
    """One matrix of more coordinates than a tile has rows, and a vector."""
    matrix = GeneratedParameter(name="w", axes=(tiny.group("a"), tiny.group("a")), in_dim=1, macs_per_element=1)
    vector = GeneratedParameter(name="b", axes=(tiny.group("a"),), macs_per_element=0)
    return Architecture(groups=(ChannelGroup(name="a", full=70, minimum=4),), parameters=(matrix, vector), max_compression=0.9)


def built(architecture: Architecture, settings: InrSettings) -> INR:
    """All parameters random, so that nothing hides behind a zero."""
    torch.manual_seed(4)
    inr = build_inr(architecture, settings).requires_grad_(False)
    for tensor in inr.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape) * 0.5)
    return inr


def random_widths(architecture: Architecture, count: int) -> list[Configuration]:
    draw = random.Random(1)
    choices = [{g.name: draw.randrange(g.minimum, g.full + 1, g.granularity) for g in architecture.groups} for _ in range(count)]
    return [uniform(architecture, c) for c in (0.0, 0.5, architecture.max_compression)] + [from_widths(architecture, each) for each in choices]


def relative_error(made: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert list(made) == list(expected)
    assert all(made[name].shape == values.shape and made[name].is_contiguous() for name, values in expected.items())
    whole, wanted = (torch.cat([weights[name].flatten() for name in expected]) for weights in (made, expected))
    return float((whole - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_makes_the_weights_of_the_plain_path(kind: str, family: str, sampling: str) -> None:
    architecture = FAMILIES[family]
    inr = built(architecture, KINDS[kind])
    make = prepare(inr, SAMPLINGS[sampling])
    for member in random_widths(architecture, 12):
        assert relative_error(make(member), materialize(inr, member, SAMPLINGS[sampling])) < 2e-6


@pytest.mark.parametrize("width", [4, 32, 33, 70])
@pytest.mark.parametrize("kind", ["mlp", "mlp, relative"])
def test_blocks_of_several_tiles_are_whole(kind: str, width: int) -> None:
    architecture = wide_architecture()
    inr = built(architecture, KINDS[kind])
    member = from_widths(architecture, {"a": width})
    assert relative_error(prepare(inr, Sampling())(member), materialize(inr, member, Sampling())) < 2e-6


@pytest.mark.parametrize("kind", ["mlp", "mlp, relative"])
def test_output_channels_of_more_coordinates_than_a_tile_are_whole(kind: str) -> None:
    matrix = GeneratedParameter(name="w", axes=(tiny.group("a"), tiny.group("b")), in_dim=1, macs_per_element=1)
    groups = (ChannelGroup(name="a", full=3, minimum=1), ChannelGroup(name="b", full=1100, minimum=1))
    inr = built(architecture := Architecture(groups=groups, parameters=(matrix,), max_compression=0.5), KINDS[kind])
    for widths in ({"a": 3, "b": 1100}, {"a": 2, "b": 1025}):
        member = from_widths(architecture, widths)
        assert relative_error(prepare(inr, Sampling())(member), materialize(inr, member, Sampling())) < 2e-6


def test_more_small_blocks_than_a_tile_holds_are_whole() -> None:
    matrices = tuple(GeneratedParameter(name=f"w{n}", axes=(tiny.group("a"), tiny.group("a")), in_dim=1, macs_per_element=1) for n in range(6))
    architecture = Architecture(groups=(ChannelGroup(name="a", full=16, minimum=4),), parameters=matrices, max_compression=0.5)
    inr = built(architecture, KINDS["mlp"])
    for width in (16, 15, 4):
        member = from_widths(architecture, {"a": width})
        assert relative_error(prepare(inr, Sampling())(member), materialize(inr, member, Sampling())) < 2e-6


@pytest.mark.parametrize("kind", ["mlp", "mlp, relative", "factorised"])
def test_widths_above_full_extrapolate(kind: str) -> None:
    inr = built(FAMILIES["tiny"], KINDS[kind])
    member = from_widths(FAMILIES["tiny"], {"conv1": 11, "conv2": 17}, extrapolate=True)
    assert relative_error(prepare(inr, Sampling())(member), materialize(inr, member, Sampling())) < 2e-6


def test_anchored_kinds_refuse_widths_above_full() -> None:
    inr = built(FAMILIES["tiny"], KINDS["anchored"])
    member = from_widths(FAMILIES["tiny"], {"conv1": 9, "conv2": 3}, extrapolate=True)
    with pytest.raises(InvalidField, match=r"widths\.conv1: 9 is not allowed; expected at most 8"):
        prepare(inr, Sampling())(member)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_averaged_as_by_the_plain_path(kind: str) -> None:
    inr, sampling = built(FAMILIES["tiny"], KINDS[kind]), Sampling(count=3, noise=0.5, seed=5)
    member = uniform(FAMILIES["tiny"], 0.3)
    made, expected = prepare(inr, sampling)(member), materialize(inr, member, sampling)
    assert all(torch.equal(made[name], values) for name, values in expected.items())


@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_what_was_made_before(kind: str) -> None:
    manifold = tiny.tiny_manifold(KINDS[kind])
    members = random_widths(manifold.architecture, 47)

    def digests(order: list[Configuration], maker: Manifold) -> dict[Configuration, str]:
        return {member: assemble(maker, member, maker.materialize(member)).digest for member in order}

    together = digests(members, manifold)
    assert digests(members[::-1], manifold) == together
    alone = {member: digests([member], tiny.tiny_manifold(KINDS[kind]))[member] for member in members}
    assert alone == together
    assert len(set(together.values())) == len(set(members))


def test_results_are_no_views_of_what_is_kept() -> None:
    manifold = tiny.tiny_manifold()
    member = manifold.configure(compression=0.0)
    first = {name: values.clone() for name, values in manifold.materialize(member).items()}
    for values in manifold.materialize(member).values():
        values.zero_()
    assert all(torch.equal(values, first[name]) for name, values in manifold.materialize(member).items())


def test_bf16_is_near_and_named() -> None:
    manifold = tiny.tiny_manifold(MlpSettings(layers=4, hidden=64))
    members = [manifold.configure(compression) for compression in (0.0, 0.4, 0.75)]
    exact = [manifold.materialize(member) for member in members]
    assert manifold.arithmetic == "cpu-fp32-k1"
    manifold.to("cpu", "bf16")
    assert manifold.arithmetic == "cpu-bf16-k1"
    errors = [relative_error(manifold.materialize(member), each) for member, each in zip(members, exact, strict=True)]
    assert 1e-5 < max(errors) < 2e-2


def test_small_networks_stay_fp32() -> None:
    manifold = tiny.tiny_manifold(KINDS["anchored"])
    member = manifold.configure(0.4)
    exact = manifold.materialize(member)
    assert manifold.to("cpu", "bf16").arithmetic == "cpu-fp32-k1"
    assert all(torch.equal(values, exact[name]) for name, values in manifold.materialize(member).items())
    with pytest.raises(DeviceUnavailable, match="dtype: 'fp8' is not known"):
        manifold.to("cpu", "fp8")


def test_gradients_are_not_recorded() -> None:
    architecture: Architecture = FAMILIES["tiny"]
    widths: Widths = architecture.full_widths
    for settings in KINDS.values():
        inr = build_inr(architecture, settings)
        made = prepare(inr, Sampling())(Configuration(tuple(widths.items())))
        assert not any(values.requires_grad for values in made.values())
