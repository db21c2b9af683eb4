"""ResNet-18 and ResNet-50 for 224x224 images (He et al., CVPR 2016, table 1) as plain modules, for shapes alone: nothing here is trained."""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Inner channels and stride of each stage."""


class Residual(nn.Module):
    """Convolutions with normalization, and a shortcut that is a 1x1 convolution where the shape changes."""

    def __init__(self, layers: nn.Sequential, shortcut: nn.Module) -> None:
        super().__init__()
        self.layers, self.shortcut, self.relu = layers, shortcut, nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return out


class ImageNetResNet(nn.Module):
    """``blocks`` residual blocks in each stage, of two 3x3 convolutions or, as bottlenecks, of 1x1, 3x3 and 1x1."""

    def __init__(self, blocks: tuple[int, ...], *, bottleneck: bool, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_normalized(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.Sequential()
        channels = 64
        for count, (inner, stride) in zip(blocks, STAGES, strict=True):
            out = 4 * inner if bottleneck else inner
            first = _block(channels, inner, out, stride, bottleneck=bottleneck)
            self.stages.append(nn.Sequential(first, *(_block(out, inner, out, 1, bottleneck=bottleneck) for _ in range(count - 1))))
            channels = out
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[n, 3, 224, 224]`` -> logits ``[n, classes]``."""
        logits: Tensor = self.head(self.pool(self.stages(self.stem(x))).flatten(1))
        return logits


def imagenet_resnet18() -> ImageNetResNet:
    return ImageNetResNet((2, 2, 2, 2), bottleneck=False)


def imagenet_resnet50() -> ImageNetResNet:
    return ImageNetResNet((3, 4, 6, 3), bottleneck=True)


def _block(channels: int, inner: int, out: int, stride: int, *, bottleneck: bool) -> Residual:
    if bottleneck:
        convolutions = [(channels, inner, 1, 1), (inner, inner, 3, stride), (inner, out, 1, 1)]
    else:
        convolutions = [(channels, inner, 3, stride), (inner, out, 3, 1)]
    layers = nn.Sequential()
    for number, (from_, to, kernel, step) in enumerate(convolutions):
        layers.extend([*([nn.ReLU()] if number else []), *_normalized(from_, to, kernel, stride=step)])
    same = stride == 1 and channels == out
    return Residual(layers, nn.Identity() if same else nn.Sequential(*_normalized(channels, out, 1, stride=stride)))


def _normalized(channels: int, out: int, kernel: int, *, stride: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out)
