"""A LeNet for 28x28 digits whose head sees every position."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet(nn.Module):
    """Three convolutions of ``h``, ``2h`` and ``4h`` channels and a Linear head on the flattened 3x3 map.

    The head of the reference LeNet reads one of nine positions after its average pooling; this one reads all nine.
    """

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(4 * width * 9, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[n, 1, 28, 28]`` -> logits ``[n, classes]``."""
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.pool(self.relu(self.norm2(self.conv2(x))))
        x = self.pool(self.relu(self.norm3(self.conv3(x))))
        logits: Tensor = self.head(x.flatten(1))
        return logits
