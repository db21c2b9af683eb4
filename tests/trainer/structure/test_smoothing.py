from __future__ import annotations

from itertools import pairwise, permutations

import fast_tsp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.ordering import channel_order, permuted
from neumeta_trainer.structure.shortest_path import cut, nearest_neighbour, path_length, shortest_path
from neumeta_trainer.structure.smoothing import channel_distances
from numpy.typing import NDArray
from torch import Tensor

from tests.trainer import networks_zoo as zoo

Matrix = NDArray[np.float64]
SEEDS = st.integers(0, 2**31 - 1)


def distances(count: int, seed: int) -> Matrix:
    points = torch.randn(count, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.cdist(points, points, p=1).numpy()


def unet() -> tuple[Architecture, dict[str, Tensor]]:
    network = zoo.build(zoo.UNet)
    return find_architecture(network, zoo.example_of(zoo.UNet)).architecture, {name: tensor.detach() for name, tensor in network.named_parameters()}


def test_the_length_of_a_path_is_the_variation_along_all_axes_of_the_group() -> None:
    architecture, tensors = unet()
    matrix = channel_distances(architecture, tensors, "down1").numpy()
    skip = tensors["mix1.weight"][:, 3:9]
    members = [(tensors["down1.weight"], 0), (tensors["down1.bias"], 0), (tensors["down2.weight"], 1), (skip, 1)]
    expected = sum(float(tensor.double().diff(dim=dim).abs().sum()) for tensor, dim in members)
    assert path_length(matrix, list(range(6))) == pytest.approx(expected, rel=1e-12)


def test_the_variation_of_a_network_changes_by_the_change_of_each_path() -> None:
    architecture, tensors = unet()
    order = channel_order(zoo.build(zoo.UNet), architecture, "smooth")
    moved = permuted(architecture, tensors, order)
    for group, permutation in order.items():
        before, after = (channel_distances(architecture, weights, group).numpy() for weights in (tensors, moved))
        along = list(range(len(permutation)))
        assert path_length(after, along) == pytest.approx(path_length(before, permutation), rel=1e-12)
        assert path_length(after, along) <= path_length(before, along)


def test_entries_of_a_repeated_channel_stay_together() -> None:
    architecture = Architecture(
        groups=(ChannelGroup(name="a", full=3, minimum=1),),
        parameters=(GeneratedParameter(name="w", axes=((Segment(count=1),), (Segment(group="a", repeat=2),)), in_dim=1, macs_per_element=1),),
        max_compression=0.5,
    )
    weight = torch.tensor([[0.0, 10.0, 1.0, 12.0, 5.0, 10.0]])
    assert channel_distances(architecture, {"w": weight}, "a").tolist() == [[0, 3, 5], [3, 0, 6], [5, 6, 0]]


@given(seed=SEEDS, count=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_small_problems_are_solved_like_brute_force(seed: int, count: int) -> None:
    matrix = distances(count, seed)
    best = min(path_length(matrix, list(order)) for order in permutations(range(count)))
    order = shortest_path(matrix)
    assert sorted(order) == list(range(count))
    assert path_length(matrix, order) == pytest.approx(best, rel=1e-4, abs=1e-9)


def test_eight_nodes_are_solved_like_brute_force() -> None:
    matrix = distances(8, seed=3)
    best = min(sum(matrix[a, b] for a, b in pairwise(order)) for order in permutations(range(8)) if order[0] < order[-1])
    assert path_length(matrix, shortest_path(matrix)) == pytest.approx(best, rel=1e-4)


def test_the_tour_is_cut_where_the_dummy_is() -> None:
    assert cut([4, 0, 9, 3, 1, 2], dummy=9) == [0, 4, 2, 1, 3]
    assert cut([9, 0, 1], dummy=9) == [0, 1]
    assert cut([1, 0, 9], dummy=9) == [0, 1]
    line = np.abs(np.subtract.outer([0.0, 5.0, 1.0, 4.0, 2.0, 3.0], [0.0, 5.0, 1.0, 4.0, 2.0, 3.0]))
    assert shortest_path(line) == [0, 2, 4, 5, 3, 1]


@pytest.mark.parametrize("count", [18, 19, 20, 21, 64])
def test_is_never_longer_than_the_simple_ways(count: int) -> None:
    matrix = distances(count, seed=count)
    order = shortest_path(matrix)
    assert sorted(order) == list(range(count))
    assert order[0] < order[-1]
    length = path_length(matrix, order)
    assert length <= path_length(matrix, list(range(count)))
    assert length <= min(path_length(matrix, nearest_neighbour(matrix, start).tolist()) for start in range(count)) * 1.0001
    assert length == pytest.approx(path_length(matrix, order[::-1]), rel=1e-12)


@pytest.mark.parametrize("count", [19, 20, 40])
def test_finds_a_line_again(count: int) -> None:
    places = torch.randperm(count, generator=torch.Generator().manual_seed(count)).double().numpy()
    order = shortest_path(np.abs(np.subtract.outer(places, places)))
    walked = [int(places[node]) for node in order]
    assert walked in (list(range(count)), list(range(count))[::-1])


@pytest.mark.parametrize("count", [12, 19, 20, 50])
def test_the_same_matrix_gives_the_same_order(count: int) -> None:
    matrix = distances(count, seed=1)
    assert shortest_path(matrix) == shortest_path(matrix.copy()) == shortest_path(matrix)


def test_no_clock_decides_what_fast_tsp_does_not_solve_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_tsp, "find_tour", lambda _: pytest.fail("a search that ends by the clock was asked"))
    assert sorted(shortest_path(distances(20, seed=0))) == list(range(20))


def test_equal_channels_stay_in_order() -> None:
    assert shortest_path(np.zeros((5, 5))) == [0, 1, 2, 3, 4]
    assert shortest_path(np.zeros((1, 1))) == [0]
