from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from neumeta_core.configuration import Configuration
from neumeta_core.inr import INR, AnchoredSettings, FactorisedSettings, InrSettings, build_inr
from neumeta_trainer.compute import Compute
from neumeta_trainer.config import NetworkStage, Optimization, TuneStage
from neumeta_trainer.data import Batches, load_digits
from neumeta_trainer.networks.small import SmallNet
from neumeta_trainer.structure import shared_layers
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import sliced
from neumeta_trainer.training.family import padded_loss, sliced_loss
from neumeta_trainer.training.losses import distillation, reconstruction
from neumeta_trainer.training.manifold_training import Target, padded_reconstruction, padded_task, sliced_task
from neumeta_trainer.training.padded import PaddedSlices, is_exact
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices
from torch import Tensor, nn
from torch.nn import functional

from tests.tiny import tiny_manifold
from tests.trainer import networks_zoo as zoo
from tests.trainer.structure.test_resize import architecture_of, uneven
from tests.trainer.training.test_slices import KINDS, LEVELS, at, made


def members_of(slices: Slices) -> list[Configuration]:
    return [at(slices, 0.0), at(slices, 0.3), uneven(slices.architecture), at(slices, 0.8)]


@pytest.mark.parametrize("kind", KINDS)
def test_padded_weights_are_those_of_the_slice_and_zero_beyond(kind: type[nn.Module]) -> None:
    slices = made(kind)
    padded = PaddedSlices(slices, Compute())
    for member, flat in zip(members_of(slices), padded.weights(*padded.describe(members_of(slices))), strict=True):
        whole = padded.flat.parts(flat, flat)
        for name, wanted in slices.weights(member).items():
            if name in whole:
                assert torch.count_nonzero(whole[name]) == torch.count_nonzero(wanted)
                assert whole[name].sum().item() == pytest.approx(wanted.sum().item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("kind", zoo.RESIZABLE, ids=lambda kind: kind.__name__)
def test_padded_members_compute_what_slices_compute_unless_channels_are_normalized_together(kind: type[nn.Module]) -> None:
    slices = Slices(zoo.build(kind), architecture_of(kind), LEVELS)
    together = any(isinstance(module, nn.GroupNorm | nn.LayerNorm) for module in slices.network.modules())
    assert is_exact(slices, members_of(slices), zoo.example_of(kind)) == (not together)


def gradients(slices: Slices, loss: Tensor) -> list[Tensor]:
    return [torch.zeros(()) if found is None else found for found in torch.autograd.grad(loss, list(slices.parameters()), allow_unused=True)]


@pytest.mark.parametrize(("levels", "upward"), [((), 1.0), (LEVELS, 1.0), (LEVELS, 0.3)])
def test_the_padded_loss_has_the_value_and_the_gradients_of_the_sliced_one(levels: tuple[float, ...], upward: float) -> None:
    torch.manual_seed(0)
    network = SmallNet()
    architecture = find_architecture(network, torch.zeros(2, 1, 8, 8)).architecture
    slices = Slices(network, architecture, levels, upward).train()
    with torch.no_grad():
        for addition in slices.additions.parameters():
            addition.copy_(0.1 * torch.randn(addition.shape))
    splits = load_digits()
    sampler, batches = Sampler(architecture, levels=levels), Batches(splits.train, splits, 64, seed=0, shift=1, flip=True)
    stage = NetworkStage(optimization=Optimization(steps=1, rate=0.1), members=2, temperature=2.0)
    plain, padded = (loss_of(slices, sampler, batches, stage, Compute()) for loss_of in (sliced_loss, padded_loss))
    for step in (0, 5):
        assert torch.allclose(padded(step), plain(step), rtol=1e-5)
        for one, other in zip(gradients(slices, padded(step)), gradients(slices, plain(step)), strict=True):
            assert (one - other).norm() <= 1e-3 * other.norm() + 1e-6


@pytest.mark.parametrize("loss_of", [sliced_loss, padded_loss])
@pytest.mark.parametrize("even", [False, True])
def test_a_family_may_draw_members_of_even_mean(loss_of: Callable[..., Callable[[int], Tensor]], even: bool) -> None:
    network, splits = SmallNet(), load_digits()
    slices = Slices(network, find_architecture(network, torch.zeros(2, 1, 8, 8)).architecture).train()
    sampler, batches = Sampler(slices.architecture, uniform_share=0.0), Batches(splits.train, splits, 64, seed=0)
    stage = NetworkStage(optimization=Optimization(steps=1, rate=0.1), members=2, even=even)
    inputs, labels = batches.at(3)
    logits = slices(sampler.full, inputs)
    wanted = functional.cross_entropy(logits, labels)
    for member in (sampler.smallest, *sampler.draw(3, 2, even=even)):
        wanted = wanted + distillation(slices(member, inputs), logits, 1.0)
    assert torch.allclose(loss_of(slices, sampler, batches, stage, Compute())(3), wanted, rtol=1e-5)


def test_padded_members_leave_the_statistics_of_normalization_alone() -> None:
    slices = made(zoo.LeNet).train()
    before = {name: buffer.clone() for name, buffer in slices.network.named_buffers()}
    padded = PaddedSlices(slices, Compute())
    padded(*padded.describe(members_of(slices)), zoo.example_of(zoo.LeNet))
    assert all(torch.equal(buffer, before[name]) for name, buffer in slices.network.named_buffers())
    slices.network(zoo.example_of(zoo.LeNet))
    assert not all(torch.equal(buffer, before[name]) for name, buffer in slices.network.named_buffers())


def tensors_and_gradients(inr: INR, loss: Callable[[int], Tensor], step: int) -> list[Tensor]:
    value, trained = loss(step), [parameter for parameter in inr.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(value, trained, allow_unused=True)
    return [value.detach(), *(torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True))]


def assert_alike(one: list[Tensor], other: list[Tensor]) -> None:
    for left, right in zip(one, other, strict=True):
        assert (left - right).norm() <= 1e-3 * right.norm() + 1e-6


INRS = [
    AnchoredSettings(hidden=8, rank=2, levels=LEVELS),
    AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True),
    AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True, exact=True),
    AnchoredSettings(hidden=8, rank=2, levels=LEVELS, moments=True, exact=True, scales=6),
    FactorisedSettings(hidden=16, rank=4),
]
NAMES = ["anchored", "anchored with moments", "anchored, exact", "anchored with scales", "factorised"]


@pytest.mark.parametrize("settings", INRS, ids=NAMES)
def test_the_padded_warm_start_has_the_value_and_the_gradients_of_the_sliced_one(settings: InrSettings) -> None:
    inr = tiny_manifold(settings).inr.requires_grad_(True)
    sampler, teacher = Sampler(inr.architecture), tiny_manifold(INRS[0], seed=5)
    targets = [Target(c, teacher.materialize(c)) for c in sampler.sandwich(0, 3)]
    padded = padded_reconstruction(inr, targets, lambda step: torch.tensor([0, step, 4]))

    def plain(step: int) -> Tensor:
        return torch.stack([reconstruction(inr(targets[index].configuration), targets[index].weights) for index in (0, step, 4)]).mean()

    for step in (1, 3):
        assert_alike(tensors_and_gradients(inr, padded, step), tensors_and_gradients(inr, plain, step))


@pytest.mark.parametrize("kept", [(), ("conv1",)], ids=["all morph", "the first layer stays"])
@pytest.mark.parametrize("sandwich", [True, False])
@pytest.mark.parametrize("settings", INRS, ids=NAMES)
def test_padded_end_to_end_training_has_the_value_and_the_gradients_of_the_sliced_one(
    settings: InrSettings, sandwich: bool, kept: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    example = torch.zeros(2, 1, 8, 8)
    network = fuse_batch_norm(SmallNet(), example).requires_grad_(False)
    architecture = find_architecture(network, example, ignore=kept).architecture
    inr, weights = build_inr(architecture, settings), dict(network.named_parameters())
    inr.start_from(weights, *(sliced(architecture, weights, level) for level in inr.levels))
    with torch.no_grad():
        for parameter in inr.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
        for name, buffer in inr.named_buffers():
            if name.endswith("moments"):
                buffer.uniform_(0.5, 1.0)
    splits, sampler = load_digits(), Sampler(architecture)
    batches = Batches(splits.train, splits, 64, seed=0, shift=1, flip=True)
    stage = TuneStage(optimization=Optimization(steps=1, rate=0.1), members=2, sandwich=sandwich, task=0.3, distillation=0.7, temperature=2.0)
    full = Target(sampler.full, weights)
    plain, padded = sliced_task(inr, network, full, sampler, batches, stage, Compute()), padded_task(inr, network, sampler, batches, stage, Compute())
    for step in (0, 3):
        assert_alike(tensors_and_gradients(inr, padded, step), tensors_and_gradients(inr, plain, step))
    # Without anything that is kept from one member for the others.
    monkeypatch.setattr(shared_layers, "_agree", lambda *_: False)
    apart = sliced_task(inr, network, full, sampler, batches, stage, Compute())
    assert_alike(tensors_and_gradients(inr, plain, 3), tensors_and_gradients(inr, apart, 3))


def test_in_bf16_the_padded_loss_is_the_sliced_one_but_for_rounding() -> None:
    torch.manual_seed(0)
    network, splits, compute = SmallNet(), load_digits(), Compute(mixed=True)
    architecture = find_architecture(network, torch.zeros(2, 1, 8, 8)).architecture
    slices, sampler = Slices(network, architecture).train(), Sampler(architecture)
    batches = Batches(splits.train, splits, 64, seed=0)
    stage = NetworkStage(optimization=Optimization(steps=1, rate=0.1), members=2)
    plain, padded = (loss_of(slices, sampler, batches, stage, compute) for loss_of in (sliced_loss, padded_loss))
    assert torch.allclose(padded(0), plain(0), rtol=0.02)
    exact = torch.cat([gradient.flatten() for gradient in gradients(slices, plain(0))])
    found = torch.cat([gradient.flatten() for gradient in gradients(slices, padded(0))])
    assert (found - exact).norm() <= 0.1 * exact.norm()
