"""Generation in training: all weights of a network at one width, and the gradient back into the INR.

    python benchmarks/train_step.py [--runs N] [--network NAME] [--kinds KIND …] [--device auto|cpu|cuda] [--json FILE]

Forward with noise on the coordinates, then backward from a fixed gradient at the weights, which stands for the task's. The published
procedure does the same for the same weights with its own MLPs of the same size (5 layers of 256); its Python loop over coordinates
is not counted, for in training it may run once for every width. This is the plain path on every device; on CUDA training takes another one
(``PaddedGeneration``: fixed shapes, as a part of one graph), which is not measured here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from families import KINDS, NETWORKS, Family, find_family
from measure import Timing, devices, timed
from memory import MEGABYTE, peak_of
from neumeta_core.inr import Noise, build_inr
from published_procedure import NOISE, coordinate_rows, published_inr
from report import Report, Row, arguments
from torch import Tensor, nn

PUBLISHED = "published procedure"
Generate = Callable[[], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Step:
    """Generation once, at one width."""

    forward: Timing
    """As in training: what backward needs is kept."""
    both: Timing
    """Forward and backward."""
    peak: float | None
    """Bytes that both take at most."""


def main() -> None:
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--network", choices=NETWORKS, default="resnet20")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--device", default="auto", help="auto (the CPU, and CUDA where there is one), cpu or cuda")
    options = parser.parse_args()
    report = Report()
    family = find_family(options.network)
    for device in devices(options.device):
        candidates = {PUBLISHED: published(family, device)} | {kind: ours(family, kind, device) for kind in options.kinds}
        steps = {name: measure(inr, generate, options.runs, device) for name, (inr, generate) in candidates.items()}
        rows = [row(name, step, steps[PUBLISHED]) for name, step in steps.items()]
        report.add(f"Generation of {family.name} in training on {device}", rows)
    report.save(options.json)


def published(family: Family, device: str) -> tuple[nn.Module, Generate]:
    inr = published_inr(family).to(device)
    rows = [each.to(device) for each in coordinate_rows(list(inr.shapes.values()))]
    return inr, lambda: inr(rows, NOISE)


def ours(family: Family, kind: str, device: str) -> tuple[nn.Module, Generate]:
    inr = build_inr(family.architecture, KINDS[kind]).to(device)
    noise = Noise(NOISE, torch.Generator().manual_seed(0))
    return inr, lambda: inr(family.architecture.full_widths, noise)


def measure(inr: nn.Module, generate: Generate, runs: int, device: str) -> Step:
    gradients = [torch.ones_like(values) for values in generate().values()]

    def step() -> None:
        inr.zero_grad()
        torch.autograd.backward(list(generate().values()), gradients)

    peak = peak_of(step, device)
    return Step(timed(generate, runs, device), timed(step, runs, device), peak)


def row(name: str, step: Step, published: Step) -> Row:
    return {
        "INR": name,
        "ms forward": 1e3 * step.forward.median,
        "forward, spread": step.forward.scaled(1e3).spread,
        "ms forward and backward": 1e3 * step.both.median,
        "lowest": 1e3 * step.both.lowest,
        "highest": 1e3 * step.both.highest,
        "peak MB": None if step.peak is None else step.peak / MEGABYTE,
        "times faster": published.both.median / step.both.median,
    }


if __name__ == "__main__":
    main()
