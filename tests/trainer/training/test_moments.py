"""Moments of layer inputs, against the windows themselves."""

from __future__ import annotations

import torch
from neumeta_core.architecture import Architecture
from neumeta_core.inr.moments import log_spread, mean
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.training.moments import measure_moments
from torch import Tensor, nn
from torch.nn import functional


class Convolutions(nn.Module):
    """A strided convolution with padding, a dilated one without, a grouped one, and a Linear with several inputs per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 6, (2, 1), dilation=2)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.out = nn.Linear(4 * 288, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        x = torch.relu(self.up(torch.relu(self.depthwise(x))))
        out: Tensor = self.head(torch.relu(self.out(input=x.flatten(1))))
        return out


def measured(network: nn.Module, inputs: Tensor) -> tuple[Architecture, dict[str, Tensor]]:
    architecture = find_architecture(network, inputs[:2], min_ratio=0.25, max_compression=0.75, granularity=1).architecture
    return architecture, measure_moments(network, architecture, architecture.full_widths, [inputs[:10], inputs[10:]])


def moments_of(windows: Tensor) -> Tensor:
    """From windows ``[n, channels, taps]``, by their covariances."""
    taps = windows.shape[2]
    means = windows.mean((0, 2))
    centred = windows - means[:, None]
    covariance = torch.einsum("nct,ncs->cts", centred, centred) / len(windows)
    variance = covariance.diagonal(dim1=1, dim2=2).mean(1)
    common = (covariance.sum((1, 2)) - taps * variance) / (taps * taps - taps) if taps > 1 else torch.zeros_like(means)
    common = torch.minimum(common.clamp_min(0), variance)
    return torch.stack([means, (variance - common).sqrt(), common.sqrt()])


def test_moments_are_those_of_the_windows() -> None:
    torch.manual_seed(0)
    network, inputs = Convolutions().eval(), torch.randn(16, 3, 16, 24) + 0.5
    _, found = measured(network, inputs)
    with torch.no_grad():
        hidden = torch.relu(network.first(inputs))
        deeper = torch.relu(network.up(torch.relu(network.depthwise(torch.relu(network.second(hidden))))))
    first = functional.unfold(inputs, 3, padding=1, stride=2).transpose(1, 2).unflatten(2, (3, 9)).flatten(0, 1)
    second = functional.unfold(hidden, (2, 1), dilation=2).transpose(1, 2).unflatten(2, (8, 2)).flatten(0, 1)
    out = deeper.flatten(2)
    for name, windows in (("first", first), ("second", second), ("out", out)):
        assert torch.allclose(found[f"{name}.weight"], moments_of(windows), rtol=1e-3, atol=1e-5), name


def test_layers_whose_outputs_are_not_sums_over_all_channels_are_left_out() -> None:
    torch.manual_seed(0)
    _, found = measured(Convolutions().eval(), torch.randn(16, 3, 16, 24))
    # The bias of the head is fixed, for it has no channels that resize.
    assert set(found) == {"first.weight", "second.weight", "out.weight"}


def test_they_tell_mean_and_spread_of_the_outputs_where_channels_are_independent() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
    inputs = torch.randn(64, 3, 20, 20) * torch.tensor([1.0, 2.0, 0.5]).view(3, 1, 1) + torch.tensor([0.0, 1.0, -1.0]).view(3, 1, 1)
    _, found = measured(network, inputs)
    with torch.no_grad():
        outputs = network[0](inputs) - network[0].bias.view(-1, 1, 1)
        values = network[0].weight.flatten(2)
    assert torch.allclose(mean(values, found["0.weight"]), outputs.mean((0, 2, 3)), atol=0.02)
    assert torch.allclose(log_spread(values, found["0.weight"]).exp(), outputs.std((0, 2, 3)), rtol=0.02)


def test_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = Convolutions().eval()
    measured(network, torch.randn(16, 3, 16, 24))
    assert not any(layer._forward_pre_hooks for layer in network.modules())
