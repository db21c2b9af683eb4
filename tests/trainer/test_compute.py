"""Where and in which arithmetic networks are trained."""

from __future__ import annotations

import pytest
import torch
from neumeta_core.errors import DeviceUnavailable
from neumeta_trainer.compute import Compute
from neumeta_trainer.data import load_digits
from neumeta_trainer.overrides import overridden
from neumeta_trainer.pipeline import run
from neumeta_trainer.recipes.digits import digits
from neumeta_trainer.training.progress import LogProgress
from torch import nn


def test_bf16_is_for_the_networks_and_their_weights_stay_fp32():
    compute = Compute(mixed=True)
    network = compute.place(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    with compute.autocast():
        output = network(torch.rand(2, 3, 5, 5))
    assert output.dtype == torch.bfloat16
    assert network[0].weight.dtype == torch.float32
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_without_bf16_nothing_is_cast_and_the_layout_is_plain():
    compute = Compute()
    network = compute.place(nn.Conv2d(3, 4, 3))
    with compute.autocast():
        assert network(torch.rand(2, 3, 5, 5)).dtype == torch.float32
    assert network.weight.is_contiguous()


def test_a_manifold_trained_in_bf16_is_measured_and_stored_in_fp32(tmp_path):
    family = ["family.optimization.steps=120", "family.batch=32"]
    inr = ["fit.optimization.steps=50", "fit.targets=4", "tune.optimization.steps=20"]
    recipe = overridden(digits(), [*family, *inr, "curve=[0,0.5,0.75]"])
    result = run(recipe, load_digits(), tmp_path, LogProgress(), compute=Compute(mixed=True))
    assert all(point.quality > 0.9 for point in result.manifold.header.curve.points)
    member = result.manifold.configure(compression=0.5)
    assert {values.dtype for values in result.manifold.materialize(member).values()} == {torch.float32}


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceUnavailable), Compute.resolve("cuda:99"):
        raise AssertionError


def test_auto_is_the_gpu_where_there_is_one():
    with Compute.resolve() as compute:
        assert compute.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
        assert compute.processes.count == 1
