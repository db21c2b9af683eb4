"""How many threads make a member, and what depends on their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.configuration import Configuration
from neumeta_core.inr import AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, Sampling, build_inr
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import is_single_threaded
from torch.utils._python_dispatch import TorchDispatchMode

from tests import tiny

CHEAP: list[InrSettings] = [AnchoredSettings(hidden=8, rank=2, levels=(0.5,), moments=True), FactorisedSettings(hidden=16, rank=3)]
COORDINATE = MlpSettings(layers=2, hidden=8)


class ThreadsSeen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The number of threads that every operation may use."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: set[int] = set()

    def __torch_dispatch__(self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        self.counts.add(torch.get_num_threads())
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads_of(manifold: Manifold) -> set[int]:
    seen = ThreadsSeen()
    with seen:
        manifold.materialize(manifold.configure(0.3))
    return seen.counts


@pytest.mark.parametrize("settings", CHEAP)
def test_small_networks_of_the_cheap_kinds_are_made_by_one_thread(settings: InrSettings) -> None:
    manifold = tiny.tiny_manifold(settings)
    assert threads_of(manifold) == {1}
    assert torch.get_num_threads() == 3


def test_coordinate_networks_and_averages_are_made_by_all() -> None:
    assert threads_of(tiny.tiny_manifold(COORDINATE)) == {3}
    assert threads_of(tiny.tiny_manifold(CHEAP[0], sampling=Sampling(count=2, noise=0.5))) == {3}


@pytest.mark.parametrize(("width", "expected"), [(724, True), (725, False)])  # 724^2 values are fewer than 2^19.
def test_large_networks_are_made_by_all(width: int, expected: bool) -> None:
    matrix = GeneratedParameter(name="w", axes=(tiny.group("a"), tiny.group("a")), in_dim=1, macs_per_element=1)
    architecture = Architecture(groups=(ChannelGroup(name="a", full=width, minimum=100),), parameters=(matrix,), max_compression=0.5)
    assert is_single_threaded(build_inr(architecture, FactorisedSettings(hidden=4, rank=1)), Sampling()) is expected


def test_every_thread_of_a_program_makes_a_member_as_the_fingerprint_says() -> None:
    manifold = tiny.tiny_manifold(COORDINATE)
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(2,)) as program:
        assert program.submit(threads_of, manifold).result() == {3}
        assert program.submit(torch.get_num_threads).result() == 2


def test_the_fingerprint_names_the_threads_that_are_used() -> None:
    """One artifact of a small network has one digest on machines with any number of cores."""
    fingerprints: dict[str, set[str]] = {"cheap": set(), "coordinate": set()}
    for count in (2, 3):
        torch.set_num_threads(count)
        fingerprints["cheap"].add(tiny.tiny_manifold(CHEAP[0]).fingerprint)
        fingerprints["coordinate"].add(tiny.tiny_manifold(COORDINATE).fingerprint)
    assert {name: len(found) for name, found in fingerprints.items()} == {"cheap": 1, "coordinate": 2}


def test_a_failure_leaves_the_number_of_threads_as_it_was() -> None:
    with pytest.raises(KeyError):
        tiny.tiny_manifold(CHEAP[0]).materialize(Configuration((("of another network", 1),)))
    assert torch.get_num_threads() == 3
