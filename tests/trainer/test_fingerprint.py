"""What makes a checkpoint that of another run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from neumeta_trainer.data import Splits, load_digits
from neumeta_trainer.fingerprint import BASE_FIELDS, fingerprint
from neumeta_trainer.recipes.digits import digits
from torch import Tensor, nn
from torch.nn import functional

Step = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """What follows the layers is in its forward pass alone, but for an activation that it shows when it is printed."""

    def __init__(self, then: Step = functional.relu, *, dropped: float = 0.1, swapped: bool = False, name: str = "head") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Conv2d(1, 1, 3, padding=1) for _ in range(2))
        self.dropout = nn.Dropout(dropped)
        self.add_module(name, nn.Linear(64, 10))
        self.then, self.swapped, self.name = then, swapped, name

    def extra_repr(self) -> str:
        return repr(lambda: None)

    def forward(self, x: Tensor) -> Tensor:
        layers = (self.second, self.first) if self.swapped else (self.first, self.second)
        for layer in layers:
            x = self.dropout(self.then(layer(x)))
        return self.get_submodule(self.name)(x.flatten(1))


def half(x: Tensor) -> Tensor:
    return functional.relu(x) * 0.5


def quarter(x: Tensor) -> Tensor:
    return functional.relu(x) * 0.25


def fingerprint_of(network: nn.Module) -> str:
    splits: Splits = load_digits()
    return fingerprint(digits(), network, splits.train, splits, BASE_FIELDS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Net(), Net(torch.tanh)),
        (Net(half), Net(quarter)),
        (Net(), Net(swapped=True)),
        (Net(), Net(dropped=0.2)),
        (Net(), Net(name="tail")),
    ],
    ids=["activation", "constant", "order", "dropout", "names"],
)
def test_networks_with_the_same_weights_that_compute_something_else_differ(one: nn.Module, other: nn.Module) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert fingerprint_of(one) != fingerprint_of(other)


def test_the_same_network_is_the_same_in_another_process_and_mode() -> None:
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_fingerprint as t; print(t.fingerprint_of(t.Net()))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == fingerprint_of(Net()) == fingerprint_of(Net().eval()) == fingerprint_of(Net(lambda x: functional.relu(x)))


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 10))
    before = {name: values.clone() for name, values in network.state_dict().items()}
    fingerprint_of(network)
    assert network.training
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
