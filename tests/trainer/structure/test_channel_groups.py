from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import torch
from neumeta_core.architecture import Architecture, GeneratedParameter, Segment, Widths
from neumeta_core.cost import cost_of
from neumeta_core.errors import NetworkUnsupported
from neumeta_trainer.structure.channel_groups import Analysis, find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import resized
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer import networks_zoo as zoo


def analysis_of(kind: type[nn.Module], *, fused: bool = True) -> Analysis:
    network, example = zoo.build(kind), zoo.example_of(kind)
    return find_architecture(fuse_batch_norm(network, example) if fused else network, example)


def groups(architecture: Architecture) -> dict[str, tuple[int, int]]:
    return {group.name: (group.full, group.minimum) for group in architecture.groups}


def short(axis: Sequence[Segment]) -> list[str | int]:
    """``["conv1", "conv2*9", 3]``"""
    names = [segment.count if segment.group is None else segment.group for segment in axis]
    return [name if segment.repeat == 1 else f"{name}*{segment.repeat}" for name, segment in zip(names, axis, strict=True) if name]


def axes(parameter: GeneratedParameter) -> list[list[str | int]]:
    return [short(axis) for axis in parameter.axes]


def test_linear_after_a_flatten() -> None:
    architecture = analysis_of(zoo.LeNet).architecture
    assert groups(architecture) == {"conv1": (8, 2), "conv2": (12, 3), "fc1": (10, 3)}
    assert {name: axes(parameter) for name, parameter in architecture.by_name.items()} == {
        "conv1.weight": [["conv1"], [1], [3], [3]],
        "conv1.bias": [["conv1"]],
        "conv2.weight": [["conv2"], ["conv1"], [3], [3]],
        "conv2.bias": [["conv2"]],
        "fc1.weight": [["fc1"], ["conv2*9"]],
        "fc1.bias": [["fc1"]],
        "fc2.weight": [[4], ["fc1"]],
    }
    assert architecture.max_compression == 0.75


def test_residual_stream() -> None:
    architecture = analysis_of(zoo.ResNet).architecture
    assert list(groups(architecture)) == ["conv1", "layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.conv2", "layer2.1.conv1"]
    stream = [name for name, parameter in architecture.by_name.items() if short(parameter.axes[parameter.out_dim]) == ["layer2.0.conv2"]]
    assert [name for name in stream if name.endswith("weight")] == ["layer2.0.conv2.weight", "layer2.0.downsample.0.weight", "layer2.1.conv2.weight"]


def test_concatenated_skips_and_transposed_convolutions() -> None:
    parameters = analysis_of(zoo.UNet).architecture.by_name
    assert axes(parameters["mix2.weight"]) == [["mix2"], ["up2", "down2"], [3], [3]]
    assert axes(parameters["mix1.weight"]) == [["mix1"], [3, "down1", "up1"], [3], [3]]
    assert axes(parameters["up2.weight"]) == [["down3"], ["up2"], [2], [2]]
    assert (parameters["up2.weight"].out_dim, parameters["up2.weight"].in_dim) == (1, 0)
    assert (parameters["mix1.weight"].out_dim, parameters["mix1.weight"].in_dim) == (0, 1)


def test_depthwise_convolutions() -> None:
    parameters = analysis_of(zoo.MobileNet).architecture.by_name
    assert axes(parameters["blocks.0.depthwise.0.weight"]) == [["blocks.0.expand.0"], [1], [3], [3]]
    assert axes(parameters["blocks.0.project.0.weight"]) == [["stem.0"], ["blocks.0.expand.0"], [1], [1]]


def test_linear_that_is_viewed_as_an_image() -> None:
    parameters = analysis_of(zoo.Decoder).architecture.by_name
    assert axes(parameters["fc.weight"]) == [["fc*16"], [6]]
    assert axes(parameters["norm.weight"]) == [["fc"]]
    assert axes(parameters["up1.weight"]) == [["fc"], ["up1"], [4], [4]]


class ByName(zoo.Decoder):
    """Layers that get their input by name."""

    def forward(self, z: Tensor) -> Tensor:
        x = self.norm(input=self.fc(input=z).view(-1, self.fc.out_features // 16, 4, 4))
        return torch.sigmoid(self.up2(input=torch.relu(self.up1(input=torch.relu(x)))))


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "unfused"])
def test_layers_that_get_their_input_by_name(fused: bool) -> None:
    assert analysis_of(ByName, fused=fused) == analysis_of(zoo.Decoder, fused=fused)


def test_a_flatten_as_wide_as_a_picture() -> None:
    network = nn.Sequential(nn.Conv2d(3, 10, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(100_000, 2))
    parameters = find_architecture(network.eval(), torch.randn(2, 3, 100, 100)).architecture.by_name
    assert axes(parameters["3.weight"]) == [[2], ["0*10000"]]


def test_channels_last_and_halves_that_gate_each_other() -> None:
    parameters = analysis_of(zoo.ConvNext).architecture.by_name
    assert axes(parameters["up.weight"]) == [["up", "up"], ["stem"]]
    assert axes(parameters["norm.weight"]) == [["stem"]]
    assert parameters["up.weight"].macs_per_element == 16


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
def test_only_the_output_of_a_well_behaved_network_stays(kind: type[nn.Module]) -> None:
    notes = analysis_of(kind).notes
    assert len(notes) == 1
    assert "it reaches the network's output" in notes[0]


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
def test_a_network_has_the_same_groups_before_fusion(kind: type[nn.Module]) -> None:
    fused, unfused = analysis_of(kind).architecture, analysis_of(kind, fused=False).architecture
    assert fused.groups == unfused.groups
    network = zoo.build(kind)
    statistics = {name for name in network.state_dict() if "running" in name}
    assert statistics == {name for name in unfused.by_name if "running" in name}


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
def test_cost_is_that_of_the_resized_network(kind: type[nn.Module]) -> None:
    example = zoo.example_of(kind, batch=1)
    network = fuse_batch_norm(zoo.build(kind), example)
    architecture = find_architecture(network, example).architecture
    smallest = {group.name: group.minimum for group in architecture.groups}
    uneven = {group.name: max(group.minimum, group.full - 1 - number) for number, group in enumerate(architecture.groups)}
    for widths in (architecture.full_widths, smallest, uneven):
        assert_cost(network, architecture, widths, example)


def assert_cost(network: nn.Module, architecture: Architecture, widths: Widths, example: Tensor) -> None:
    member, cost = resized(network, architecture, widths, None), cost_of(architecture, widths)
    assert cost.params == sum(parameter.numel() for parameter in member.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        member(example)
    assert cost.macs == counter.get_total_flops() / 2


def test_minimum_and_granularity() -> None:
    network, example = zoo.build(zoo.UNet), zoo.example_of(zoo.UNet)
    found = find_architecture(network, example, min_ratio=0.5, max_compression=0.4, granularity=2)
    assert groups(found.architecture) == {"down1": (6, 4), "down3": (10, 6), "mix2": (8, 4), "mix1": (6, 4)}
    assert found.architecture.max_compression == 0.4
    assert any(note.startswith("down2 keeps its full width of 9: its width is no multiple of the granularity 2") for note in found.notes)
    assert short(found.architecture.by_name["mix2.weight"].axes[1]) == [7 + 9]


def test_ignored_layers_keep_their_width() -> None:
    network, example = zoo.build(zoo.ResNet), zoo.example_of(zoo.ResNet)
    found = find_architecture(network, example, ignore=("layer2", "layer1.1.conv2"))
    assert list(groups(found.architecture)) == ["layer1.0.conv1", "layer1.1.conv1"]
    assert "conv1 keeps its full width of 8: it is to be ignored." in found.notes
    with pytest.raises(ValueError, match="no module 'layer9'"):
        find_architecture(network, example, ignore=("layer9",))


def test_tied_weights_keep_their_width() -> None:
    found = analysis_of(zoo.Tied)
    assert list(groups(found.architecture)) == ["free"]
    assert "stem keeps its full width of 8: shared runs more than once (tied weights)." in found.notes
    assert "fc1 keeps its full width of 6: fc1.weight and fc2.weight are one parameter (tied weights)." in found.notes
    network, example = zoo.build(zoo.Tied), zoo.example_of(zoo.Tied, batch=1)
    assert_cost(network, found.architecture, {"free": 5}, example)


def test_group_norm_and_grouped_convolutions_keep_their_width() -> None:
    found = analysis_of(zoo.GroupNormed)
    assert list(groups(found.architecture)) == ["conv3"]
    assert "conv1 keeps its full width of 8: it runs through norm, a GroupNorm, which is not supported." in found.notes
    assert "conv2 keeps its full width of 6: it runs through grouped, a grouped Conv2d, which is not supported." in found.notes
    assert any(
        re.fullmatch(r"grouped keeps its full width of \d+: a grouped Conv2d makes it, which is not supported\.", note) for note in found.notes
    )


def test_a_hard_coded_view_keeps_its_width() -> None:
    found = analysis_of(zoo.HardCodedView)
    assert list(groups(found.architecture)) == ["conv1"]
    assert any(note.startswith("conv2 keeps its full width of 8: the network does not run at conv2=") for note in found.notes)


def test_a_zero_padded_shortcut_keeps_its_width() -> None:
    found = analysis_of(zoo.PaddedShortcut)
    assert list(groups(found.architecture)) == ["conv1"]
    assert any(note.startswith("stem keeps its full width of 8: another order of its channels changes the output") for note in found.notes)


def test_a_bare_parameter_keeps_its_width() -> None:
    found = analysis_of(zoo.LayerScale)
    assert list(groups(found.architecture)) == ["conv2"]
    assert "conv1 keeps its full width of 8: the parameter gamma follows it outside of any known layer." in found.notes


class Weighted(nn.Module):
    """A weight that is computed from other parameters, and one that is not."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 6, 3, bias=bias))
        self.second = nn.Conv2d(6, 8, 3)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


@pytest.mark.parametrize("bias", [True, False])
def test_a_reparametrized_weight_keeps_its_width(bias: bool) -> None:
    found = find_architecture(Weighted(bias=bias).eval(), torch.randn(2, 3, 8, 8))
    assert "first keeps its full width of 6: a Conv2d with a reparametrized weight makes it, which is not supported." in found.notes
    assert list(groups(found.architecture)) == ["second"]
    assert short(found.architecture.by_name["second.weight"].axes[1]) == [6]


class Hidden(nn.Module):
    """A sum that the dependency graph cannot see: one side is detached."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3)
        self.b = nn.Conv2d(3, 6, 3)
        self.c = nn.Conv2d(6, 8, 3)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.c(self.a(x) + self.b(x).detach())))


def test_what_the_dependency_graph_misses_is_found_by_running_the_network() -> None:
    found = find_architecture(Hidden().eval(), torch.randn(2, 3, 8, 8))
    assert list(groups(found.architecture)) == ["c"]
    assert any(note.startswith("a keeps its full width of 6") for note in found.notes)


def test_channels_that_the_dependency_graph_confuses_keep_their_width() -> None:
    found = analysis_of(zoo.SplitAgain)
    assert list(groups(found.architecture)) == ["to_a"]


class Together(nn.Module):
    """Each layer can be narrow, but not both."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 1)
        self.b = nn.Conv2d(6, 6, 1)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.a.out_channels < 6 and self.b.out_channels < 6:
            raise ValueError("too narrow")
        return self.head(self.b(self.a(x)))


def test_refuses_groups_that_work_alone_but_not_together() -> None:
    with pytest.raises(NetworkUnsupported, match=r"Together: each channel group can be resized alone, but not all together: .*a=.*too narrow"):
        find_architecture(Together().eval(), torch.randn(2, 3, 4, 4))


def test_refuses_interleaved_channels_by_the_name_of_the_parameter() -> None:
    network, example = zoo.build(zoo.Interleaved), zoo.example_of(zoo.Interleaved)
    with pytest.raises(NetworkUnsupported, match=r"^conv1.weight, dimension 0: the channels of conv1#0 are no run .* Name its layers in ignore"):
        find_architecture(network, example)
    assert list(groups(find_architecture(network, example, ignore=("conv1",)).architecture)) == ["even"]


def test_refuses_what_has_nothing_to_resize() -> None:
    with pytest.raises(NetworkUnsupported, match=r"Linear has no channel group that can be resized. Linear keeps its full width of 3: it reaches"):
        find_architecture(nn.Linear(4, 3), torch.randn(2, 4))


def test_refuses_random_outputs() -> None:
    class Noisy(zoo.LeNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.rand_like(x))

    with pytest.raises(NetworkUnsupported, match="equal inputs give different outputs in eval mode"):
        find_architecture(Noisy().eval(), zoo.example_of(zoo.LeNet))


def test_refuses_outputs_that_are_no_tensor() -> None:
    class Two(zoo.LeNet):
        def forward(self, x: Tensor) -> Tensor:
            return (super().forward(x),) * 2  # type: ignore[return-value]

    with pytest.raises(NetworkUnsupported, match="Two gives tuple for a batch of 2; expected one tensor"):
        find_architecture(Two().eval(), zoo.example_of(zoo.LeNet))


@pytest.mark.parametrize(("option", "value"), [("min_ratio", 0), ("min_ratio", 1.5), ("max_compression", 1), ("granularity", 0)])
def test_refuses_impossible_limits(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option}={value}"):
        find_architecture(zoo.build(zoo.LeNet), zoo.example_of(zoo.LeNet), **{option: value})  # type: ignore[arg-type]


def test_leaves_the_network_alone() -> None:
    network = zoo.build(zoo.ResNet).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    find_architecture(network, zoo.example_of(zoo.ResNet))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(module._forward_hooks == {} for module in network.modules())
