"""A small convolutional network for 8x8 digits."""

from __future__ import annotations

from torch import Tensor, nn


class SmallNet(nn.Module):
    """Two convolutions with normalization and a Linear head on the flattened 4x4 map."""

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * width)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(2 * width * 16, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[n, 1, 8, 8]`` -> logits ``[n, classes]``."""
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.pool(self.relu(self.norm2(self.conv2(x))))
        logits: Tensor = self.head(x.flatten(1))
        return logits
