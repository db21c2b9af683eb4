"""Bring your own network: a small residual network that no recipe knows, from training to ONNX files of four sizes.

    python examples/bring_your_own.py [OUT]

Uses scikit-learn's bundled digits, so nothing is downloaded; takes about a minute on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import onnxruntime
import torch
from neumeta_core.assembly import assemble
from neumeta_core.inr import AnchoredSettings
from neumeta_trainer.config import FitStage, NetworkStage, Optimization, Recipe, TuneStage
from neumeta_trainer.data import load_digits
from neumeta_trainer.pipeline import run
from neumeta_trainer.results.report import write_report
from neumeta_trainer.training.progress import BarProgress
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """An ordinary residual block; nothing in it knows that it will be resized."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(x + self.norm2(self.conv2(inner)))


class MyNet(nn.Module):
    """Stem, two residual blocks, global average, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Block(16, 24), Block(16, 24))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(functional.relu(self.norm(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))


def recipe() -> Recipe:
    """First the network alone (bring a trained one: ``network=lambda: trained, base=None``), then its family, then the INR."""
    return Recipe(
        name="my-net",
        data="digits",
        network=MyNet,
        inr=AnchoredSettings(hidden=24, rank=2),
        order="importance",
        max_compression=0.5,
        base=NetworkStage(optimization=Optimization(steps=200, rate=0.05, optimizer="sgd", weight_decay=5e-4), batch=64),
        family=NetworkStage(optimization=Optimization(steps=300, rate=0.05, optimizer="sgd", weight_decay=5e-4), batch=64, members=2),
        fit=FitStage(optimization=Optimization(steps=300, rate=5e-3), targets=32, calibration=512),
        tune=TuneStage(optimization=Optimization(steps=100, rate=1e-3, clip=1.0, ema=0.98), batch=64, task=0.3, distillation=0.7),
        curve=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    )


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="my-net-"))
    splits = load_digits()
    result = run(recipe(), splits, out, BarProgress(Console(stderr=True)), final=True)
    write_report(result, out)
    inputs, labels = splits.prepare(splits.test.images).contiguous(), splits.test.labels
    for compression in (0.0, 0.17, 0.33, 0.5):
        member = result.manifold.configure(compression=compression)
        artifact = assemble(result.manifold, member, result.manifold.materialize(member))
        (out / f"my-net-{compression:.2f}.onnx").write_bytes(artifact.data)
        logits = onnxruntime.InferenceSession(artifact.data).run(None, {"input": inputs.numpy()})[0]
        right = (torch.from_numpy(logits).argmax(dim=1) == labels).float().mean()
        print(f"compression {compression:.2f}: {len(artifact.data):6,} bytes, {100 * right:.1f} % of {len(labels)} test digits")
    print(f"The manifold, its curve and the ONNX files are in {out}")


if __name__ == "__main__":
    main()
