from __future__ import annotations

from functools import cache

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter, Segment
from neumeta_core.configuration import Configuration, from_widths
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.resize import at_widths, resized, sliced
from torch import Tensor, nn
from torch.func import functional_call

from tests.trainer import networks_zoo as zoo


@cache
def architecture_of(kind: type[nn.Module]) -> Architecture:
    """Of the network with its BatchNorm."""
    return find_architecture(zoo.build(kind), zoo.example_of(kind), min_ratio=0.1).architecture


def uneven(architecture: Architecture) -> Configuration:
    generator = torch.Generator().manual_seed(0)
    widths = {group.name: int(torch.randint(group.minimum, group.full + 1, (), generator=generator)) for group in architecture.groups}
    return from_widths(architecture, widths)


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
@torch.no_grad()
def test_a_resized_copy_computes_what_the_network_computes_at_these_widths(kind: type[nn.Module]) -> None:
    network, example, architecture = zoo.build(kind), zoo.example_of(kind), architecture_of(kind)
    configuration = uneven(architecture)
    member = resized(network, architecture, configuration, None)
    with at_widths(network, architecture, configuration):
        outputs = functional_call(network, sliced(architecture, tensors_of(network), configuration), (example,))
    assert torch.equal(member(example), outputs)
    assert outputs.shape == network(example).shape
    for name, tensor in member.state_dict().items():
        if name in architecture.by_name:
            assert tensor.shape == architecture.by_name[name].shape(configuration)


@torch.no_grad()
def test_every_width_runs() -> None:
    network, example, architecture = zoo.build(zoo.LeNet), zoo.example_of(zoo.LeNet), architecture_of(zoo.LeNet)
    for group in architecture.groups:
        for width in range(1, group.full + 1):
            configuration = from_widths(architecture, architecture.full_widths | {group.name: width}, extrapolate=True)
            assert resized(network, architecture, configuration, None)(example).shape == (2, 4)


@torch.no_grad()
def test_a_slice_is_the_full_network_without_the_other_channels() -> None:
    network, example, architecture = zoo.build(zoo.UNet), zoo.example_of(zoo.UNet), architecture_of(zoo.UNet)
    configuration = uneven(architecture)
    silenced = resized(network, architecture, architecture.full_widths, None)
    for name, tensor in tensors_of(silenced).items():
        parameter = architecture.by_name.get(name)
        if parameter is None or parameter.in_dim is None:
            continue
        start = 0
        for segment in parameter.axes[parameter.in_dim]:
            size, kept = segment.size(architecture.full_widths), segment.size(configuration)
            tensor.narrow(parameter.in_dim, start + kept, size - kept).zero_()
            start += size
    member = resized(network, architecture, configuration, None)
    assert (member(example) - silenced(example)).abs().max() <= 1e-6


def test_layers_take_the_sizes_of_their_tensors() -> None:
    network, architecture = zoo.build(zoo.MobileNet), architecture_of(zoo.MobileNet)
    widths = architecture.full_widths | {"blocks.0.expand.0": 7, "stem.0": 5}
    member = resized(network, architecture, widths, None)
    depthwise, norm = member.get_submodule("blocks.0.depthwise.0"), member.get_submodule("blocks.0.depthwise.1")
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels, norm.num_features) == (7, 7, 7, 7)
    assert (member.get_submodule("head").in_features, member.get_submodule("head").out_features) == (5, 5)

    network, architecture = zoo.build(zoo.ConvNext), architecture_of(zoo.ConvNext)
    member = resized(network, architecture, {"stem": 6, "up": 4}, None)
    assert member.get_submodule("norm").normalized_shape == (6,)
    assert member.get_submodule("prelu").num_parameters == 6
    assert member.get_submodule("up").out_features == 8

    network, architecture = zoo.build(zoo.UNet), architecture_of(zoo.UNet)
    member = resized(network, architecture, architecture.full_widths | {"up2": 4, "down3": 6}, None)
    assert (member.get_submodule("up2").in_channels, member.get_submodule("up2").out_channels) == (6, 4)


def test_at_widths_gives_everything_back() -> None:
    network, architecture = zoo.build(zoo.MobileNet), architecture_of(zoo.MobileNet)
    depthwise = network.get_submodule("blocks.0.depthwise.0")
    inside = []

    def fail() -> None:
        with at_widths(network, architecture, architecture.full_widths | {"blocks.0.expand.0": 9}):
            inside.append(depthwise.groups)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert inside == [9]
    assert (depthwise.groups, depthwise.in_channels, depthwise.out_channels) == (16, 16, 16)


def test_slices_are_differentiable_views() -> None:
    network, architecture = zoo.build(zoo.LeNet), architecture_of(zoo.LeNet)
    widths = {"conv1": 3, "conv2": 5, "fc1": 4}
    tensors = tensors_of(network)
    cut = sliced(architecture, tensors, widths)
    assert cut["conv2.weight"].data_ptr() == tensors["conv2.weight"].data_ptr()
    assert cut["fc2.bias"] is tensors["fc2.bias"]
    cut["fc1.weight"].sum().backward()
    gradient = tensors["fc1.weight"].grad
    assert gradient is not None
    expected = torch.zeros_like(gradient)
    expected[:4, : 5 * 9] = 1
    assert torch.equal(gradient, expected)


def test_an_axis_of_several_segments_keeps_the_first_channels_of_each() -> None:
    axis = (Segment(count=2), Segment(group="a"), Segment(group="b", repeat=2))
    architecture = Architecture(
        groups=(ChannelGroup(name="a", full=3, minimum=1), ChannelGroup(name="b", full=2, minimum=1)),
        parameters=(GeneratedParameter(name="w", axes=((Segment(count=1),), axis), in_dim=1, macs_per_element=1),),
        max_compression=0.5,
    )
    full = torch.arange(9).unsqueeze(0)
    assert sliced(architecture, {"w": full}, {"a": 1, "b": 1})["w"].tolist() == [[0, 1, 2, 5, 6]]
    assert sliced(architecture, {"w": full}, {"a": 3, "b": 2})["w"].tolist() == full.tolist()


def test_given_parameters_are_used_and_copied() -> None:
    network, architecture = zoo.build(zoo.LeNet), architecture_of(zoo.LeNet)
    widths = {"conv1": 3, "conv2": 5, "fc1": 4}
    bias = torch.full((3,), 2.0)
    weight = torch.zeros(3, 1, 3, 3, requires_grad=True)
    member = resized(network, architecture, widths, {"norm1.bias": bias, "conv1.weight": weight})
    bias.fill_(7)
    assert member.get_submodule("norm1").bias.tolist() == [2, 2, 2]
    assert member.get_submodule("conv1").weight.is_leaf
    assert not member.get_submodule("conv1").weight.any()
    assert isinstance(member.get_submodule("norm1").running_mean, Tensor)
    assert "norm1.running_mean" in dict(member.named_buffers())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"conv9.weight": torch.zeros(1)}, "conv9.weight: the network has no such tensor"),
        ({"fc1.bias": torch.zeros(9)}, r"fc1.bias: the shape \(9,\) does not fit; expected \(4,\)"),
    ],
)
def test_refuses_parameters_that_do_not_fit(parameters: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resized(zoo.build(zoo.LeNet), architecture_of(zoo.LeNet), {"conv1": 3, "conv2": 5, "fc1": 4}, parameters)


def test_a_slice_can_be_trained_with_batch_statistics() -> None:
    network, example, architecture = zoo.build(zoo.LeNet).train(), zoo.example_of(zoo.LeNet), architecture_of(zoo.LeNet)
    configuration = uneven(architecture)
    with at_widths(network, architecture, configuration):
        functional_call(network, sliced(architecture, tensors_of(network), configuration), (example,)).sum().backward()
    gradient = network.conv1.weight.grad
    assert gradient is not None
    kept = configuration["conv1"]
    assert gradient[:kept].any()
    assert not gradient[kept:].any()
