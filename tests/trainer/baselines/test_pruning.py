from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch_pruning
from neumeta_core.configuration import uniform
from neumeta_trainer.baselines.pruning import pruning_order
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.ordering import permute
from neumeta_trainer.structure.resize import resized
from torch import nn

from tests.trainer import networks_zoo as zoo


def magnitudes() -> nn.Module:
    """Four channels whose sums of absolute values and of squares are in different orders; the head treats all alike."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight[:] = torch.zeros(4, 1, 3, 3)
        network[0].weight[0, 0, 0, 0] = -3.0
        network[0].weight[2] = 0.5
        network[0].weight[3] = -0.1
        network[4].weight[:] = 0.5
    return network


@pytest.mark.parametrize(("importance", "expected"), [("l1", [2, 0, 3, 1]), ("l2", [0, 2, 3, 1])])
def test_the_largest_weights_stay(importance, expected):
    network, inputs = magnitudes(), torch.randn(2, 1, 4, 4)
    architecture = find_architecture(network, inputs).architecture
    order = pruning_order(network, architecture, importance, [(inputs, torch.zeros(2, dtype=torch.long))])
    assert order == {"0": expected}
    member = resized(permute(network, architecture, order), architecture, uniform(architecture, 0.5), None)
    assert torch.equal(member[0].weight, network[0].weight[expected[:2]])


def one_channel_an_input() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Channel 0 moves the loss of two images in opposite ways, channel 1 that of the last one a little, channel 2 is large and dead."""
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        network[0].weight[:] = torch.diag(torch.tensor([1.0, 1.0, 5.0]))
        network[0].bias[:] = torch.tensor([0.0, 0.0, -100.0])
        network[2].weight[:] = torch.tensor([1.0, 0.2, 5.0])
        network[2].bias.zero_()
    return network, torch.eye(3)[[0, 0, 1]], torch.tensor([0, 1, 0])


@pytest.mark.parametrize(("importance", "expected"), [("l1", [2, 0, 1]), ("taylor", [1, 0, 2]), ("hessian", [0, 1, 2])])
@pytest.mark.parametrize("size", [1, 3], ids=["image by image", "one batch"])
def test_what_the_loss_needs_stays(importance, expected, size):
    network, inputs, labels = one_channel_an_input()
    architecture = find_architecture(network, inputs).architecture
    batches = list(zip(inputs.split(size), labels.split(size), strict=True))
    assert pruning_order(network, architecture, importance, batches) == {"0": expected}
    assert all(parameter.grad is None for parameter in network.parameters())


def test_random_is_another_order_for_another_seed_and_leaves_the_global_state():
    network, inputs = zoo.build(zoo.ResNet), zoo.example_of(zoo.ResNet)
    architecture = find_architecture(network, inputs).architecture
    batches = [(inputs, torch.zeros(2, dtype=torch.long))]
    before = torch.random.get_rng_state()
    first, again, other = (pruning_order(network, architecture, "random", batches, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first == again != other


# A network with one output has no cross-entropy to look at.
SCORED = [(kind, importance) for kind in zoo.RESIZABLE for importance in ("l1", "taylor", "hessian") if importance == "l1" or kind is not zoo.Decoder]


@pytest.mark.parametrize(("kind", "importance"), SCORED)
def test_every_group_of_every_kind_of_network_gets_its_scores(kind, importance):
    network, inputs = zoo.build(kind), zoo.example_of(kind)
    architecture = find_architecture(network, inputs, min_ratio=0.1).architecture
    with torch.no_grad():
        labels = network(inputs).argmax(dim=1)
    order = pruning_order(network, architecture, importance, [(inputs, labels)])
    assert {name: sorted(places) for name, places in order.items()} == {name: list(range(full)) for name, full in architecture.full_widths.items()}
    assert any(places != sorted(places) for places in order.values())


@torch.no_grad()
def test_torch_prunings_own_pruner_gives_the_same_network_where_its_widths_are_the_members():
    network, inputs = zoo.build(zoo.ResNet), zoo.example_of(zoo.ResNet)
    architecture = find_architecture(network, inputs).architecture
    order = pruning_order(network, architecture, "l2", [(inputs, torch.zeros(2, dtype=torch.long))])
    ours = resized(permute(network, architecture, order), architecture, uniform(architecture, 0.5), None)
    theirs = copy.deepcopy(network)
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
        torch_pruning.pruner.BasePruner(theirs, inputs, importance, pruning_ratio=0.5, ignored_layers=[theirs.fc]).step()
    assert [tensor.shape for tensor in theirs.parameters()] == [tensor.shape for tensor in ours.parameters()]
    torch.testing.assert_close(theirs.eval()(inputs), ours(inputs))
