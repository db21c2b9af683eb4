from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from neumeta_core.architecture import Architecture, ChannelGroup, GeneratedParameter
from neumeta_core.configuration import Configuration, from_widths
from neumeta_core.inr import INR, AnchoredSettings, FactorisedSettings, InrSettings, MlpSettings, Sampling, build_inr
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import materialize
from pydantic import ValidationError
from torch import Tensor

from tests.tiny import group, odd_widths, tiny_architecture

KINDS = [MlpSettings(layers=2, hidden=16), AnchoredSettings(hidden=8, rank=2), FactorisedSettings(hidden=16, rank=3)]
MEMBER = from_widths(tiny_architecture(), {"conv1": 5, "conv2": 7})


def built(settings: InrSettings) -> INR:
    torch.manual_seed(3)
    inr = build_inr(tiny_architecture(), settings).requires_grad_(False)
    for parameter in inr.parameters():
        if not parameter.any():
            parameter.normal_()
    return inr


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("settings", KINDS)
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(count=4, noise=0.5, seed=7)])
def test_the_same_arguments_give_the_same_bits(settings: InrSettings, sampling: Sampling) -> None:
    inr = built(settings)
    first = materialize(inr, MEMBER, sampling)
    materialize(inr, from_widths(tiny_architecture(), {"conv1": 8, "conv2": 3}), Sampling(count=2, noise=1.0))
    torch.rand(5)
    assert same(first, materialize(inr, MEMBER, sampling))


@pytest.mark.parametrize("settings", KINDS)
def test_no_global_random_state_is_read_or_changed(settings: InrSettings) -> None:
    inr = built(settings)
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = materialize(inr, MEMBER, Sampling(count=3, noise=0.5))
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    torch.manual_seed(99)
    assert same(first, materialize(inr, MEMBER, Sampling(count=3, noise=0.5)))


@pytest.mark.parametrize("settings", KINDS)
def test_integrated_sampling_is_nearer_to_many_samples_than_no_noise_is(settings: InrSettings) -> None:
    inr = built(settings)
    plain, integrated = (materialize(inr, MEMBER, Sampling(noise=0.5, integrated=yes)) for yes in (False, True))
    many = materialize(inr, MEMBER, Sampling(count=500, noise=0.5))
    for name, values in many.items():
        if values.dim() == 1:  # biases carry no noise
            assert torch.equal(integrated[name], plain[name])
        else:
            assert (integrated[name] - values).norm() < 0.8 * (plain[name] - values).norm(), name
    assert same(materialize(inr, MEMBER, Sampling(noise=0.0, integrated=True)), plain)


def test_sampling_is_integrated_or_counted_not_both() -> None:
    with pytest.raises(ValidationError, match="not both"):
        Sampling(count=2, noise=0.5, integrated=True)


@pytest.mark.parametrize("settings", KINDS)
def test_one_sample_has_no_noise(settings: InrSettings) -> None:
    inr = built(settings)
    assert same(materialize(inr, MEMBER, Sampling(count=1, noise=0.5)), materialize(inr, MEMBER, Sampling()))
    assert same(materialize(inr, MEMBER, Sampling()), inr(MEMBER))


@pytest.mark.parametrize("settings", KINDS)
def test_many_samples_without_noise_are_one(settings: InrSettings) -> None:
    inr = built(settings)
    assert same(materialize(inr, MEMBER, Sampling(count=3, noise=0.0)), materialize(inr, MEMBER, Sampling()))


def test_the_first_of_the_samples_has_no_noise() -> None:
    inr = built(KINDS[0])
    clean = inr(MEMBER)["conv2.weight"]
    small, large = (materialize(inr, MEMBER, Sampling(count=2, noise=noise))["conv2.weight"] - clean for noise in (1e-4, 0.5))
    assert 0 < small.abs().max() < 1e-3 < large.abs().max()


def test_seeds_give_other_samples() -> None:
    inr = built(KINDS[0])
    one, other = (materialize(inr, MEMBER, Sampling(count=2, noise=0.5, seed=seed)) for seed in (0, 1))
    assert not torch.equal(one["conv2.weight"], other["conv2.weight"])
    assert torch.equal(one["conv2.bias"], other["conv2.bias"])


def test_the_variance_of_the_mean_falls_like_one_over_k() -> None:
    linear = GeneratedParameter(name="w", axes=(group("a"), group("a")), in_dim=1, macs_per_element=1)
    architecture = Architecture(groups=(ChannelGroup(name="a", full=16, minimum=1),), parameters=(linear,), max_compression=0.5)
    torch.manual_seed(0)
    inr = build_inr(architecture, MlpSettings(layers=1, hidden=16))
    member = Configuration((("a", 16),))

    def variance(count: int) -> float:
        draws = [materialize(inr, member, Sampling(count=count, noise=0.5, seed=seed))["w"] for seed in range(80)]
        return float(torch.stack(draws).var(dim=0).mean())

    # One of the K samples is always the clean one, so the variance of the mean is (K - 1) / K^2 that of a sample.
    few, many = variance(3), variance(12)
    assert few / many == pytest.approx((2 / 9) / (11 / 144), rel=0.15)


def test_weights_are_contiguous_fp32_without_gradients(tiny_manifold: Manifold, patched_manifold: Manifold) -> None:
    members = [(tiny_manifold, member) for member in odd_widths(tiny_manifold)]
    for manifold, member in [*members, (patched_manifold, patched_manifold.configure(compression=0.3))]:
        for values in manifold.materialize(member).values():
            assert values.dtype == torch.float32
            assert values.is_contiguous()
            assert not values.requires_grad
