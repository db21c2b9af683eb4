"""Small networks, one for each way in which channels can depend on each other."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class LeNet(nn.Module):
    """Plain convolutions with BatchNorm, and a Linear after a flatten (9 entries for every channel)."""

    example = (2, 1, 12, 12)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(12)
        self.fc1 = nn.Linear(12 * 9, 10)
        self.fc2 = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.norm1(self.conv1(x))), 2)
        x = torch.max_pool2d(torch.relu(self.norm2(self.conv2(x))), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    """Residual streams with BatchNorm after every convolution."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(ResidualBlock(8, 8, 1), ResidualBlock(8, 8, 1))
        self.layer2 = nn.Sequential(ResidualBlock(8, 12, 2), ResidualBlock(12, 12, 1))
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


class UNet(nn.Module):
    """Concatenated skip connections, also from the input image, and transposed convolutions with BatchNorm."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(3, 6, 3, padding=1)
        self.down2 = nn.Conv2d(6, 9, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(9)
        self.down3 = nn.Conv2d(9, 10, 3, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(10, 7, 2, stride=2, bias=False)
        self.norm_up2 = nn.BatchNorm2d(7)
        self.mix2 = nn.Conv2d(7 + 9, 8, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(8, 5, 4, stride=2, padding=1)
        self.mix1 = nn.Conv2d(3 + 6 + 5, 6, 3, padding=1)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.down1(x))
        b = torch.relu(self.norm2(self.down2(a)))
        c = torch.relu(self.down3(b))
        d = torch.relu(self.mix2(torch.cat([self.norm_up2(self.up2(c)), b], dim=1)))
        return self.head(torch.relu(self.mix1(torch.cat([x, a, self.up1(d)], dim=1))))


class InvertedResidual(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6())
        self.squeeze = nn.Conv2d(hidden, 4, 1)
        self.excite = nn.Conv2d(4, hidden, 1)
        self.project = nn.Sequential(nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        y = y * torch.sigmoid(self.excite(torch.relu(self.squeeze(nn.functional.adaptive_avg_pool2d(y, 1)))))
        return x + self.project(y)


class MobileNet(nn.Module):
    """Inverted residuals: expand, depthwise convolution, squeeze and excite, project."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.blocks = nn.Sequential(InvertedResidual(8, 16), InvertedResidual(8, 20))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class DepthwiseChain(nn.Module):
    """Four blocks alike, each with a depthwise convolution."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(channels, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU())
                for channels in (3, 16, 16, 16)
            )
        )
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean((2, 3)))


class Decoder(nn.Module):
    """A Linear that is viewed as an image, and transposed convolutions."""

    example = (2, 6)

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8 * 4 * 4)
        self.norm = nn.BatchNorm2d(8)
        self.up1 = nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(6, 1, 4, stride=2, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.norm(self.fc(z).view(-1, self.fc.out_features // 16, 4, 4))
        return torch.sigmoid(self.up2(torch.relu(self.up1(torch.relu(x)))))


class PreNormBlock(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, hidden, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)))
        return x + self.conv2(torch.relu(self.norm2(y)))


class PreNormResNet(nn.Module):
    """BatchNorm before the convolution: most of it cannot be fused."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.block1 = PreNormBlock(8, 12)
        self.block2 = PreNormBlock(8, 10)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block1(self.conv(x)))
        return self.fc(torch.relu(self.norm(x)).mean((2, 3)))


class ConvNext(nn.Module):
    """LayerNorm and Linears on channels that are the last dimension, and a split into halves that gate each other."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 2, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 2 * 11)
        self.down = nn.Linear(11, 8)
        self.prelu = nn.PReLU(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        value, gate = self.up(y).permute(0, 3, 1, 2).chunk(2, dim=1)
        y = self.down((value * torch.sigmoid(gate)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.head(self.prelu(x + y).mean((2, 3)))


class SplitBySizes(nn.Module):
    """Halves of one layer that gate each other, split by a size that is written out."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(3, 2 * 9, 3, padding=1)
        self.head = nn.Conv2d(9, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).split(self.head.in_channels, dim=1)
        return self.head(value * torch.sigmoid(gate))


class SplitAgain(nn.Module):
    """Concatenated channels that are split again: torch-pruning takes them for the wrong ones."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(3, 11, 3, padding=1)
        self.to_a = nn.Conv2d(8, 6, 1)
        self.to_b = nn.Conv2d(11, 6, 1)
        self.head = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.relu(torch.cat([self.a(x), self.b(x)], dim=1))
        a, b = joined.split([self.a.out_channels, self.b.out_channels], dim=1)
        return self.head(self.to_a(a) * self.to_b(b))


class Tied(nn.Module):
    """One convolution runs twice, and two Linears share one weight."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.free = nn.Conv2d(8, 9, 3, padding=1)
        self.last = nn.Conv2d(9, 6, 3, padding=1)
        self.fc1 = nn.Linear(6, 6)
        self.fc2 = nn.Linear(6, 6)
        self.fc2.weight = self.fc1.weight
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.shared(torch.relu(self.shared(torch.relu(self.stem(x))))))
        x = torch.relu(self.last(torch.relu(self.free(x)))).mean((2, 3))
        return self.head(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class GroupNormed(nn.Module):
    """GroupNorm after the first convolution, a grouped convolution after the second; the third is free."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.conv2 = nn.Conv2d(8, 6, 3, padding=1)
        self.grouped = nn.Conv2d(6, 4, 3, padding=1, groups=2)
        self.conv3 = nn.Conv2d(4, 10, 3, padding=1)
        self.head = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv1(x)))
        x = torch.relu(self.conv3(torch.relu(self.grouped(torch.relu(self.conv2(x))))))
        return self.head(x.mean((2, 3)))


class HardCodedView(nn.Module):
    """A flatten that writes the number of features out, so the layer before it cannot be resized."""

    example = (2, 1, 6, 6)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8 * 36, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv2(torch.relu(self.conv1(x)))).view(-1, 288))


class PaddedShortcut(nn.Module):
    """A shortcut that pads channels with zeros, by an amount that is fixed when the network is built."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv1 = nn.Conv2d(8, 11, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(11, 16, 3, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        shortcut = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))) + shortcut)
        return self.head(x.mean((2, 3)))


class LayerScale(nn.Module):
    """A bare parameter of the size of a channel group."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.gamma = nn.Parameter(torch.full((8, 1, 1), 0.1))
        self.conv2 = nn.Conv2d(8, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(self.conv1(x) * self.gamma))
        return self.head(x.mean((2, 3)))


class Interleaved(nn.Module):
    """Even and odd channels of one layer go different ways."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.even = nn.Conv2d(4, 6, 3, padding=1)
        self.odd = nn.Conv2d(4, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv1(x))
        return self.head((self.even(x[:, ::2]) * self.odd(x[:, 1::2])).mean((2, 3)))


class Undecided(nn.Module):
    """Its way depends on the values: torch.fx cannot trace it."""

    example = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        if x.mean() > 100:
            x = -x
        return self.head(x.mean((2, 3)))


RESIZABLE = (LeNet, ResNet, UNet, MobileNet, Decoder, PreNormResNet, ConvNext, SplitBySizes)
"""Networks in which every inner channel can be resized."""


def build(kind: type[Network], seed: int = 0) -> Network:
    """The network in eval mode with random weights and random normalization statistics."""
    torch.manual_seed(seed)
    network = kind()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def example_of(kind: type[nn.Module], batch: int = 2, seed: int = 0) -> Tensor:
    """Random inputs of the network's kind."""
    shape: tuple[int, ...] = kind.example  # type: ignore[attr-defined]
    return torch.randn((batch, *shape[1:]), generator=torch.Generator().manual_seed(seed))
