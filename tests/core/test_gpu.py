from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.assembly import assemble
from neumeta_core.configuration import Configuration, from_widths
from neumeta_core.inr import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, Sampling, build_inr
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import all_to_host, materialize, prepare, to_host
from torch import Tensor

from tests import patched, tiny

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")]

CAPTURED: dict[str, InrSettings] = {
    "anchored": AnchoredSettings(hidden=8, rank=2),
    "anchored with levels": AnchoredSettings(hidden=8, rank=2, levels=(0.75, 0.4)),
    "anchored with moments": AnchoredSettings(hidden=8, rank=2, levels=(0.75, 0.4), moments=True),
    "anchored, exact": AnchoredSettings(hidden=8, rank=2, levels=(0.75, 0.4), moments=True, exact=True),
    "anchored with scales": AnchoredSettings(hidden=8, rank=2, levels=(0.75, 0.4), moments=True, exact=True, scales=6),
    "factorised": FactorisedSettings(hidden=16, rank=3),
}
KINDS: dict[str, InrSettings] = CAPTURED | {"mlp": MlpSettings(layers=3, hidden=32)}
PLAIN = Sampling()


def check_same_weights(manifold: Manifold, path: Path) -> None:
    manifold.save(path)
    cpu, cuda = Manifold.load(path, "cpu"), Manifold.load(path, "cuda")
    assert cuda.arithmetic == cpu.arithmetic.replace("cpu", "cuda")
    for compression in (0.0, 0.3, 0.62, 0.75):
        member = cpu.configure(compression)
        here, there = cpu.materialize(member), cuda.materialize(member)
        for name, values in here.items():
            assert there[name].device.type == "cuda"
            assert there[name].is_contiguous()
            assert (values - there[name].cpu()).abs().max() <= 1e-5
        assert assemble(cuda, member, there) == assemble(cuda, member, cuda.materialize(member))


def members_of(manifold: Manifold) -> list[Configuration]:
    first, second = manifold.architecture.groups
    choices = [(one, two) for one in range(first.minimum, first.full + 1, first.granularity) for two in range(second.minimum, second.full + 1)]
    return [manifold.configure(widths={first.name: one, second.name: two}) for one, two in choices]


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", [PLAIN, Sampling(noise=0.5, integrated=True)], ids=["plain", "integrated"])
def test_cuda_makes_the_weights_of_the_cpu(kind: str, sampling: Sampling, tmp_path: Path) -> None:
    check_same_weights(tiny.tiny_manifold(KINDS[kind], sampling=sampling), tmp_path / "tiny.safetensors")
    check_same_weights(patched.patched_manifold(KINDS[kind]), tmp_path / "patched.safetensors")


def test_samples_see_the_same_noise_on_cuda(tmp_path: Path) -> None:
    check_same_weights(tiny.tiny_manifold(KINDS["factorised"], sampling=Sampling(count=4, noise=0.5)), tmp_path / "tiny.safetensors")


@pytest.mark.parametrize("make", [tiny.tiny_manifold, patched.patched_manifold], ids=["tiny", "patched"])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_depend_on_nothing_that_was_made_before(kind: str, make: Any) -> None:
    manifold = make(KINDS[kind]).to("cuda")
    members = members_of(manifold)
    alone = [to_host(manifold.materialize(member)) for member in members]
    backwards = [to_host(manifold.materialize(member)) for member in members[::-1]][::-1]
    together = all_to_host(manifold.materialize(member) for member in members)
    for one, other, another in zip(alone, backwards, together, strict=True):
        assert same(one, other)
        assert same(one, another)
    fresh = make(KINDS[kind]).to("cuda")
    assert same(to_host(fresh.materialize(members[5])), alone[5])


def test_fetched_weights_are_pinned_and_those_of_the_device() -> None:
    manifold = patched.patched_manifold(KINDS["anchored with levels"]).to("cuda")
    made = manifold.materialize(manifold.configure(0.3))
    fetched = to_host(made)
    assert all(values.is_pinned() for values in fetched.values())
    assert same(fetched, {name: values.cpu() for name, values in made.items()})


@pytest.mark.parametrize("kind", CAPTURED)
def test_members_stay_when_others_are_made(kind: str) -> None:
    manifold = tiny.tiny_manifold(CAPTURED[kind]).to("cuda")
    first = manifold.materialize(manifold.configure(0.0))
    before = {name: values.clone() for name, values in first.items()}
    for values in manifold.materialize(manifold.configure(0.75)).values():
        values.zero_()
    assert same(first, before)
    assert same(manifold.materialize(manifold.configure(0.0)), before)


@pytest.mark.parametrize("kind", CAPTURED)
def test_graphs_are_recorded_once_for_all_members(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[torch.cuda.CUDAGraph] = []

    class Counted(torch.cuda.graph):
        def __init__(self, graph: torch.cuda.CUDAGraph, **arguments: Any) -> None:
            begun.append(graph)
            super().__init__(graph, **arguments)

    monkeypatch.setattr(torch.cuda, "graph", Counted)
    manifold = tiny.tiny_manifold(CAPTURED[kind]).to("cuda")
    manifold.materialize(manifold.configure(0.75))
    recorded = len(begun)
    assert recorded > 0
    for member in members_of(manifold):
        manifold.materialize(member)
    assert len(begun) == recorded


@pytest.mark.parametrize("kind", ["factorised", "mlp"])
def test_widths_above_full_extrapolate(kind: str) -> None:
    manifold = tiny.tiny_manifold(KINDS[kind]).to("cuda")
    full = manifold.configure(0.0)
    before = to_host(manifold.materialize(full))
    wide = from_widths(manifold.architecture, {"conv1": 11, "conv2": 17}, extrapolate=True)
    made, expected = manifold.materialize(wide), materialize(manifold.inr, wide, PLAIN)
    assert all((made[name] - values).abs().max() <= 1e-5 for name, values in expected.items())
    assert same(to_host(manifold.materialize(full)), before)


def test_blocks_of_several_tiles_are_whole() -> None:
    matrix = GeneratedParameter(name="w", axes=(tiny.group("a"), tiny.group("a")), in_dim=1, macs_per_element=1)
    architecture = Architecture(groups=(ChannelGroup(name="a", full=300, minimum=4),), parameters=(matrix,), max_compression=0.9)
    inr = build_inr(architecture, KINDS["mlp"]).requires_grad_(False).to("cuda")
    for width in (4, 257, 300):
        member = from_widths(architecture, {"a": width})
        made, expected = prepare(inr, PLAIN)(member)["w"], materialize(inr, member, PLAIN)["w"]
        assert (made - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("kind", CAPTURED)
def test_threads_and_their_streams_do_not_disturb_each_other(kind: str) -> None:
    manifold = tiny.tiny_manifold(CAPTURED[kind]).to("cuda")
    members = members_of(manifold)
    expected = all_to_host(manifold.materialize(member) for member in members)

    def make(order: list[int]) -> bool:
        with torch.cuda.stream(torch.cuda.Stream()):
            made = all_to_host(manifold.materialize(members[index]) for index in order)
        return all(same(weights, expected[index]) for index, weights in zip(order, made, strict=True))

    forwards = list(range(len(members))) * 5
    with ThreadPoolExecutor(max_workers=2) as threads:
        assert list(threads.map(make, [forwards, forwards[::-1]])) == [True, True]
