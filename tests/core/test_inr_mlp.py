from __future__ import annotations

import math

import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.coordinates import encode, encode_sizes, octaves, width_ratios
from neumeta_core.errors import NetworkUnsupported
from neumeta_core.inr import MlpINR, MlpSettings, Noise
from neumeta_core.inr.mlp import crop_kernel, largest_kernel
from torch import Tensor

from tests.tiny import fixed, group, tiny_architecture

WIDTHS = {"conv1": 5, "conv2": 7}
SETTINGS = MlpSettings(layers=3, hidden=16)


def mlp(settings: MlpSettings = SETTINGS, architecture: Architecture | None = None) -> MlpINR:
    torch.manual_seed(0)
    return MlpINR(architecture or tiny_architecture(), settings).requires_grad_(False)


def noise(half_width: float = 0.5, seed: int = 0) -> Noise:
    return Noise(half_width, torch.Generator().manual_seed(seed))


def kernels(*sides: tuple[int, ...]) -> Architecture:
    """One convolution for each kernel, ``a`` to ``a`` channels, and a Linear."""
    axes = [(group("a"), group("a"), *map(fixed, side)) for side in sides] + [(group("a"), group("a"))]
    parameters = [GeneratedParameter(name=f"w{index}", axes=axis, in_dim=1, macs_per_element=1) for index, axis in enumerate(axes)]
    return Architecture(groups=(ChannelGroup(name="a", full=4, minimum=1),), parameters=tuple(parameters), max_compression=0.5)


def naive_weight(inr: MlpINR, index: int, out: int, in_: int, widths: dict[str, int]) -> Tensor:
    """All outputs for one weight, from one concatenated coordinate through one dense first layer (paper eq. 3 and 4)."""
    network, block = inr.networks[index], inr.layout[index]
    full_out, full_in, _ = block.shape(inr.architecture.full_widths)
    num_out, num_in, _ = block.shape(widths)
    layers = len(inr.layout)
    sizes = torch.tensor([index / layers, layers / full_out, num_out / full_out, num_in / full_in])
    coordinate = torch.cat(
        [
            encode(torch.tensor([out / full_out]), octaves(full_out)),
            encode(torch.tensor([in_ / full_in]), octaves(full_in)),
            encode_sizes(torch.cat([sizes, width_ratios(inr.architecture, widths)])),
        ]
    )
    first = torch.cat([network.from_out.weight, network.from_in.weight, network.from_sizes.weight], dim=1)
    hidden = torch.relu(first @ coordinate + network.from_sizes.bias)
    for gate, layer in zip(network.gates, network.residual, strict=True):
        hidden = hidden + gate * torch.relu(layer.weight @ hidden + layer.bias)
    return (network.out.weight @ hidden + network.out.bias) / num_in


def test_the_separable_first_layer_equals_one_mlp_call_for_every_weight() -> None:
    inr = mlp()
    made = inr(WIDTHS)["conv2.weight"]
    naive = torch.stack([torch.stack([naive_weight(inr, 2, o, i, WIDTHS) for i in range(5)]) for o in range(7)])
    assert torch.allclose(made, naive.reshape(7, 5, 3, 3), atol=1e-5)


def test_relative_positions_stretch_and_absolute_ones_are_prefixes() -> None:
    # With the sizes taken away, only positions are left to tell widths apart.
    stretched, prefixed = mlp(MlpSettings(layers=2, hidden=16, positions="relative")), mlp(MlpSettings(layers=2, hidden=16))
    for inr in (stretched, prefixed):
        for network in inr.networks:
            network.from_sizes.weight.zero_()
    full, half = {"conv1": 8, "conv2": 12}, {"conv1": 4, "conv2": 6}
    assert torch.allclose(prefixed(half)["conv1.bias"], prefixed(full)["conv1.bias"][:4], atol=1e-6)
    assert torch.allclose(stretched(half)["conv1.bias"], stretched(full)["conv1.bias"][::2], atol=1e-6)
    assert not torch.allclose(stretched(half)["conv1.bias"], stretched(full)["conv1.bias"][:4], atol=1e-3)


@pytest.mark.parametrize("noised", [False, True])
def test_every_parameter_comes_from_its_own_network_whatever_the_noise(noised: bool) -> None:
    names = [parameter.name for parameter in tiny_architecture().parameters]
    for index, name in enumerate(names):
        inr = mlp()
        before = inr(WIDTHS, noise() if noised else None)
        inr.networks[index].out.bias.add_(1.0)
        after = inr(WIDTHS, noise() if noised else None)
        assert [changed for changed in names if not torch.equal(before[changed], after[changed])] == [name]


def test_noise_moves_weights_and_leaves_biases_alone() -> None:
    inr = mlp()
    clean, noisy = inr(WIDTHS), inr(WIDTHS, noise())
    for name in clean:
        assert torch.equal(clean[name], noisy[name]) == name.endswith("bias")


def test_noise_never_moves_sizes() -> None:
    inr = mlp()
    seen: list[Tensor] = []
    hooks = [network.from_sizes.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0])) for network in inr.networks]
    inr(WIDTHS)
    inr(WIDTHS, noise(4.0))
    for hook in hooks:
        hook.remove()
    for clean, noisy in zip(seen[:5], seen[5:], strict=True):
        assert torch.equal(clean, noisy)


def test_noise_is_shared_by_all_weights_of_a_channel_and_bounded() -> None:
    draws = torch.stack([noise(0.5, seed)(6) for seed in range(200)])
    assert draws.shape == (200, 6)
    assert draws.abs().max() <= 0.5
    assert draws.min() < -0.49
    assert draws.max() > 0.49
    assert abs(float(draws.mean())) < 0.02


def test_a_small_kernel_is_the_spatial_centre_of_a_larger_one() -> None:
    square = torch.arange(25.0)
    assert crop_kernel(square, (3, 3), 5).tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]
    assert crop_kernel(square, (3, 3), 5).tolist() != list(range(8, 17))
    assert crop_kernel(square, (1, 1), 5).tolist() == [12]
    assert crop_kernel(square, (5, 5), 5).tolist() == list(range(25))
    assert crop_kernel(square, (1, 3), 5).tolist() == [11, 12, 13]
    assert crop_kernel(square, (3,), 5).tolist() == [11, 12, 13]
    assert crop_kernel(square, (), 5).tolist() == [12]
    assert crop_kernel(torch.arange(25.0) ** 2, (), 5).tolist() == [196]
    assert crop_kernel(torch.arange(50.0).reshape(2, 25), (1, 1), 5).tolist() == [[12], [37]]


def test_every_kernel_is_cropped_from_the_largest() -> None:
    inr = mlp(architecture=kernels((5, 5), (3, 3), (1, 1), (3,)))
    assert inr.side == 5
    made = inr({"a": 3})
    for index, crop in enumerate([slice(0, 25), [6, 7, 8, 11, 12, 13, 16, 17, 18], [12], [11, 12, 13]]):
        weight = naive_weight(inr, index, 2, 1, {"a": 3})[crop]
        assert torch.allclose(made[f"w{index}"][2, 1].flatten(), weight, atol=1e-5)
    assert torch.allclose(made["w4"][2, 1], naive_weight(inr, 4, 2, 1, {"a": 3}).mean(), atol=1e-5)


def test_the_square_is_as_large_as_the_largest_kernel() -> None:
    assert largest_kernel(kernels((3, 5), (1, 1))) == 5
    assert largest_kernel(kernels()) == 1


def test_kernels_of_three_dimensions_are_refused_by_name() -> None:
    with pytest.raises(NetworkUnsupported, match="w0 has a kernel of 3 dimensions"):
        mlp(architecture=kernels((3, 3, 3)))


def test_doubling_the_fan_in_halves_the_weights() -> None:
    inr = mlp()
    network = inr.networks[2]
    for layer in (network.from_out, network.from_in, network.from_sizes):
        layer.weight.zero_()
    narrow, wide = inr({"conv1": 3, "conv2": 7})["conv2.weight"], inr({"conv1": 6, "conv2": 7})["conv2.weight"]
    assert torch.allclose(narrow[:, 0] / 2, wide[:, 0], atol=1e-7)


def test_a_bias_has_a_fan_in_of_one() -> None:
    inr = mlp()
    outputs = torch.cat([naive_weight(inr, 3, o, 0, WIDTHS).mean(0, keepdim=True) for o in range(7)])
    assert torch.allclose(inr(WIDTHS)["conv2.bias"], outputs, atol=1e-5)


def test_the_start_gives_every_block_the_spread_of_the_trained_weights_at_any_width() -> None:
    inr = mlp(MlpSettings(layers=5, hidden=64))
    architecture = tiny_architecture()
    trained = {p.name: 2.0 * torch.randn(p.shape(architecture.full_widths)) for p in architecture.parameters}
    inr.start_from(trained)
    for name, before, scale in zip(trained, [1, 1, 8, 1, 12], inr.scales.tolist(), strict=True):
        assert scale == pytest.approx(before * float(trained[name].square().mean().sqrt()), rel=1e-4)
    spreads = [{name: float(values.std()) for name, values in inr({"conv1": one, "conv2": two}).items()} for one, two in ((8, 12), (4, 6), (2, 3))]
    for other in spreads[1:]:
        assert 0.2 < other["conv2.weight"] / spreads[0]["conv2.weight"] < 5


def test_a_start_from_zero_weights_leaves_the_zero_saddle() -> None:
    inr = mlp()
    architecture = tiny_architecture()
    inr.start_from({p.name: torch.zeros(p.shape(architecture.full_widths)) for p in architecture.parameters})
    assert inr.scales.min() > 0


def test_the_first_layer_starts_as_one_layer_of_all_inputs() -> None:
    network = mlp().networks[2]
    parts = (network.from_out, network.from_in, network.from_sizes)
    bound = 1 / math.sqrt(sum(part.in_features for part in parts))
    for part in parts:
        assert 0.9 * bound < part.weight.abs().max() <= bound


def test_all_that_is_stored_belongs_to_coordinate_networks() -> None:
    inr = mlp()
    assert inr.coordinate_parameters() == sum(tensor.numel() for tensor in inr.state_dict().values())
