"""The published way from a coordinate MLP to a network, restated as it stands: what materialization is compared with.

"Neural Metamorphosis" (ECCV 2024), eq. 3, 4 and 9, applied to every resizable layer. For every generated tensor a Python loop over
pairs of output and input channel makes rows of six numbers: layer, output, input, and the three sizes. A sample adds fresh noise
to the rows, encodes all six numbers, evaluates the tensors' MLPs one after the other and writes the weights into a copy of the
network; K samples are averaged, and the mean network is exported to ONNX. Where the publication leaves a choice the cheaper one is
taken: rows are made once for all samples.
"""

from __future__ import annotations

import copy
import math
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from families import Family
from measure import timed
from torch import Tensor, nn
from work import part_of

SAMPLES = 100
"""K of the paper's tests."""
BANDS, LAYERS, HIDDEN = 16, 5, 256
NOISE = 0.5
"""Half-width in channels."""
INPUTS = 6 + 12 * BANDS


class CoordinateMLP(nn.Module):
    """``h = relu(W g)``, then ``h = h + s relu(W h)`` for each further layer, then linear."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, HIDDEN)
        self.residual = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(LAYERS - 1))
        self.gates = nn.Parameter(torch.full((LAYERS - 1,), 0.1))
        self.out = nn.Linear(HIDDEN, outputs)

    def forward(self, encoded: Tensor) -> Tensor:
        hidden = torch.relu(self.first(encoded))
        for gate, layer in zip(self.gates, self.residual, strict=True):
            hidden = hidden + gate * torch.relu(layer(hidden))
        made: Tensor = self.out(hidden)
        return made


class PublishedINR(nn.Module):
    """One MLP for every generated tensor; each has as many outputs as the largest kernel of all has entries."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], side: int, norm: int) -> None:
        super().__init__()
        self.shapes, self.side, self.norm = shapes, side, norm
        self.networks = nn.ModuleList(CoordinateMLP(side**2) for _ in shapes)

    def forward(self, rows: Sequence[Tensor], noise: float = 0.0) -> dict[str, Tensor]:
        """Tensor name -> values in its shape."""
        made = {}
        for (name, shape), network, clean in zip(self.shapes.items(), self.networks, rows, strict=True):
            noisy = clean + noise * (2 * torch.rand_like(clean) - 1)
            outputs = network(encode(noisy, self.norm)) / (shape[1] if len(shape) > 1 else 1)
            made[name] = self._shaped(outputs, shape)
        return made

    def _shaped(self, outputs: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The centre of the square for a convolution, the mean over it for all else."""
        if len(shape) < 4:
            return outputs.mean(dim=1).view(shape)
        start, end = (self.side - shape[2]) // 2, (self.side + shape[2]) // 2
        return outputs.view(shape[0], shape[1], self.side, self.side)[..., start:end, start:end]


def coordinate_rows(shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """For every tensor ``[out * in, 6]``: layer, output, input, layers, outputs, inputs, as plain numbers."""
    return [torch.tensor(_rows(layer, len(shapes), shape), dtype=torch.float32) for layer, shape in enumerate(shapes)]


def _rows(layer: int, layers: int, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    outputs, inputs = shape[0], shape[1] if len(shape) > 1 else 1
    rows: list[tuple[int, ...]] = []
    for output in range(outputs):
        for input_ in range(inputs):
            rows.append((layer, output, input_, layers, outputs, inputs))
    return rows


def encode(rows: Tensor, norm: int) -> Tensor:
    """Relative positions and absolute sizes, each as value, sines and cosines: ``[n, 6]`` -> ``[n, INPUTS]``."""
    values = torch.cat([rows[:, :3] / rows[:, 3:], rows[:, 3:] / norm], dim=1)
    angles = (values.unsqueeze(-1) * (math.pi * 2.0 ** torch.arange(BANDS, device=rows.device))).flatten(1)
    return torch.cat([values, angles.sin(), angles.cos()], dim=1)


@torch.no_grad()
def materialize(inr: PublishedINR, network: nn.Module, rows: Sequence[Tensor], samples: int) -> nn.Module:
    """The mean network over the samples, of which the first has no noise."""
    mean = written(network, inr(rows))
    for _ in range(samples - 1):
        another = written(network, inr(rows, NOISE))
        for total, tensor in zip(mean.state_dict().values(), another.state_dict().values(), strict=True):
            total += tensor
    for total in mean.state_dict().values():
        total /= samples
    return mean


def written(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the network with these weights."""
    member = copy.deepcopy(network)
    member.load_state_dict(weights, strict=False)
    return member


def export(network: nn.Module, example: Tensor) -> bytes:
    """ONNX, by PyTorch's exporter (the older and faster of its two)."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it announces its end
        file = Path(folder) / "network.onnx"
        torch.onnx.export(network, (example,), file, dynamo=False, opset_version=17)
        return file.read_bytes()


def published_inr(family: Family, names: Sequence[str] | None = None) -> PublishedINR:
    """For all resizable tensors of a network, or some of them; kernel and norm are those of all."""
    shapes = {parameter.name: parameter.shape(family.architecture.full_widths) for parameter in family.architecture.parameters}
    side = max(max(shape[2:], default=1) for shape in shapes.values())
    return PublishedINR({name: shapes[name] for name in names or shapes}, side, max(shape[0] for shape in shapes.values()))


@dataclass(frozen=True)
class Cost:
    """Seconds that the procedure takes for a whole network, without the export."""

    rows: float
    """The Python loop: once, for all samples. Timed once."""
    sample: float
    """One sample: noise, encoding, MLPs, copying and writing."""
    share: float
    """Share of the rows that was timed; the others were taken to cost as much."""

    def seconds(self, samples: int = SAMPLES) -> float:
        """K samples, as K times one."""
        return self.rows + samples * self.sample


def cost_of(family: Family, most: int, runs: int, device: str = "cpu") -> Cost:
    """Time the procedure at full width on a part of the tensors that needs about ``most`` multiply-adds, and scale.

    Of ``runs`` repetitions the medians; the Python loop is timed once, without one before it, for it takes seconds and counts once of K.
    """
    whole = published_inr(family)
    part = part_of(family.architecture, most / _multiply_adds(whole))
    inr = published_inr(family, list(part.by_name)).to(device)
    network = copy.deepcopy(family.network).to(device)
    start = time.perf_counter()
    rows = [each.to(device) for each in coordinate_rows(list(inr.shapes.values()))]
    looped = time.perf_counter() - start
    share = _multiply_adds(inr) / _multiply_adds(whole)
    with torch.no_grad():
        weights = inr(rows, NOISE)
        generation = timed(lambda: inr(rows, NOISE), runs, device).median
        copying = timed(lambda: written(network, weights), runs, device).median
    return Cost(looped / share, generation / share + copying, share)


def _multiply_adds(inr: PublishedINR) -> int:
    rows = sum(shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in inr.shapes.values())
    return rows * (INPUTS * HIDDEN + (LAYERS - 1) * HIDDEN**2 + HIDDEN * inr.side**2)
