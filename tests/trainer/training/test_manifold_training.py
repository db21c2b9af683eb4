from __future__ import annotations

import pytest
import torch
from neumeta_core.inr import INR, AnchoredSettings, FactorisedSettings, MlpSettings, build_inr
from neumeta_trainer.config import FitStage, Optimization, TuneStage
from neumeta_trainer.data import Batches, load_digits
from neumeta_trainer.errors import RecipeRefused, TrainingCollapsed
from neumeta_trainer.networks.small import SmallNet
from neumeta_trainer.structure.channel_groups import find_architecture
from neumeta_trainer.structure.fusion import fuse_batch_norm
from neumeta_trainer.structure.resize import sliced
from neumeta_trainer.training.calibration import Family
from neumeta_trainer.training.collapse import check_predictions, check_scale
from neumeta_trainer.training.loop import Workspace
from neumeta_trainer.training.losses import reconstruction
from neumeta_trainer.training.manifold_training import Target, drawn_members, fit, tune
from neumeta_trainer.training.progress import LogProgress
from neumeta_trainer.training.sampler import Sampler
from neumeta_trainer.training.slices import Slices
from torch import Tensor
from torch.nn import functional

from tests.tiny import forward, tiny_architecture, tiny_manifold

KINDS = [AnchoredSettings(hidden=8, rank=2), MlpSettings(layers=3, hidden=16), FactorisedSettings(hidden=16, rank=4)]


@pytest.fixture(params=KINDS, ids=lambda settings: settings.kind)
def manifold(request):
    made = tiny_manifold(request.param)
    made.inr.requires_grad_(True)
    return made


def task_loss(weights: dict[str, Tensor]) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
    weights = {name: value.double() for name, value in weights.items()}
    x = torch.relu(functional.conv2d(inputs, weights["conv1.weight"], weights["conv1.bias"], padding=1))
    x = torch.relu(functional.conv2d(x, weights["conv2.weight"], weights["conv2.bias"], padding=1))
    logits = functional.linear(functional.max_pool2d(x, 2).flatten(1), weights["head.weight"])
    return functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1, 2]))


def test_one_backward_pass_equals_the_two_stages_of_equation_11(manifold):
    member = manifold.configure(widths={"conv1": 5, "conv2": 7})
    task_loss(manifold.inr(member)).backward()
    direct = {name: value.grad.clone() for name, value in manifold.inr.named_parameters() if value.grad is not None}
    manifold.inr.zero_grad()
    made = manifold.inr(member)
    leaves = {name: value.detach().requires_grad_() for name, value in made.items()}
    task_loss(leaves).backward()
    torch.autograd.backward(list(made.values()), [leaves[name].grad for name in made])
    for name, value in manifold.inr.named_parameters():
        if name in direct:
            assert torch.allclose(value.grad, direct[name], rtol=1e-5, atol=1e-8), name


def test_the_gradient_agrees_with_finite_differences(manifold):
    inr = manifold.inr.double()
    member = manifold.configure(widths={"conv1": 4, "conv2": 5})
    task_loss(inr(member)).backward()
    generator = torch.Generator().manual_seed(0)
    parameters = [parameter for parameter in inr.parameters() if parameter.grad is not None]
    direction = [torch.randn(parameter.shape, generator=generator, dtype=torch.float64) for parameter in parameters]
    slope = sum(float((parameter.grad * d).sum()) for parameter, d in zip(parameters, direction, strict=True))

    @torch.no_grad()
    def loss_at(distance: float) -> float:
        for parameter, d in zip(parameters, direction, strict=True):
            parameter.add_(distance * d)
        value = float(task_loss(inr(member)))
        for parameter, d in zip(parameters, direction, strict=True):
            parameter.sub_(distance * d)
        return value

    assert (loss_at(1e-7) - loss_at(-1e-7)) / 2e-7 == pytest.approx(slope, rel=1e-4)


@torch.no_grad()
def errors(inr: INR, targets: list[Target]) -> list[float]:
    return [float(reconstruction(inr(target.configuration), target.weights)) for target in targets]


@pytest.mark.parametrize("moments", [True, False])
def test_training_end_to_end_leaves_exact_members_as_they_are(moments, tmp_path):
    torch.manual_seed(0)
    network = fuse_batch_norm(SmallNet(), torch.zeros(2, 1, 8, 8)).requires_grad_(False)
    architecture = find_architecture(network, torch.zeros(2, 1, 8, 8)).architecture
    weights, sampler = dict(network.named_parameters()), Sampler(architecture)
    inr = build_inr(architecture, AnchoredSettings(hidden=8, rank=2, levels=(0.5,), moments=moments, exact=True))
    inr.start_from(weights, *(sliced(architecture, weights, level) for level in inr.levels))
    for name, buffer in inr.named_buffers():
        if name.endswith("moments"):
            buffer.uniform_(0.5, 1.0)
    others = [member for member in sampler.draw(0, 3) if member not in inr.exact]
    before = [inr(member) for member in (*inr.exact, *others)]
    anchors = {name: parameter.clone() for name, parameter in inr.named_parameters() if "anchor" in name}
    stage = TuneStage(optimization=Optimization(steps=4, rate=0.01, weight_decay=0.1, clip=1.0, ema=0.5), batch=32, members=1)
    splits = load_digits()
    workspace = Workspace(tmp_path, "x", LogProgress())
    tune(inr, network, Target(sampler.full, weights), sampler, Batches(splits.train, splits, 32, seed=0), stage, workspace)
    after = [inr(member) for member in (*inr.exact, *others)]
    assert all(torch.equal(inr.get_parameter(name), values) for name, values in anchors.items())
    assert [member in inr.exact for member in (sampler.full, *inr.levels, *others)] == [True, True, *(False for _ in others)]
    for old, new in zip(before[:2], after[:2], strict=True):
        assert all(torch.allclose(new[name], values, atol=1e-6) for name, values in old.items())
    for old, new in zip(before[2:], after[2:], strict=True):
        assert not any(torch.allclose(new[name], values, atol=1e-4) for name, values in old.items() if name.endswith("weight"))


@pytest.mark.parametrize("sandwich", [True, False])
def test_a_stage_may_draw_members_of_even_mean(sandwich):
    sampler = Sampler(tiny_architecture(), uniform_share=0.0)
    for even in (False, True):
        stage = TuneStage(optimization=Optimization(steps=1, rate=0.1), members=3, sandwich=sandwich, even=even)
        found = [drawn_members(sampler, stage, step, [])[-3:] for step in range(4)]
        assert found == [sampler.draw(step, 3, even=even) for step in range(4)]
        assert found != [sampler.draw(step, 3, even=not even) for step in range(4)]


@pytest.mark.parametrize(("images", "batches"), [(None, 3), (300, 2), (100, 1), (7, 1), (5000, 3)])
def test_a_family_that_sees_fewer_images_is_calibrated_on_its_first_batches(images, batches):
    architecture = find_architecture(SmallNet(), torch.zeros(2, 1, 8, 8)).architecture
    calibration = [torch.full((128, 1, 8, 8), float(number)) for number in range(3)]
    family = Family(Slices(SmallNet(), architecture), calibration, calibration[0][:2])
    assert [float(batch[0, 0, 0, 0]) for batch in family.seeing(images).calibration] == list(range(batches))


def test_a_stage_that_leaves_nothing_to_train_is_refused(tmp_path):
    network = fuse_batch_norm(SmallNet(), torch.zeros(2, 1, 8, 8)).requires_grad_(False)
    architecture = find_architecture(network, torch.zeros(2, 1, 8, 8)).architecture
    sampler = Sampler(architecture, levels=(1 - architecture.max_compression,))
    inr = build_inr(architecture, AnchoredSettings(hidden=8, rank=2, levels=sampler.levels, exact=True))
    splits, stage = load_digits(), TuneStage(optimization=Optimization(steps=4, rate=0.01), members=0)
    with pytest.raises(RecipeRefused, match=r"tune\.members: no member is left to train"):
        tune(
            inr, network, Target(sampler.full, {}), sampler, Batches(splits.train, splits, 32, seed=0), stage, Workspace(tmp_path, "x", LogProgress())
        )


def test_the_warm_start_learns_given_weights_at_every_target(manifold, tmp_path):
    sampler = Sampler(manifold.architecture)
    teacher = tiny_manifold(AnchoredSettings(hidden=8, rank=2), seed=5)
    targets = [Target(c, teacher.materialize(c)) for c in (sampler.full, sampler.smallest, *sampler.draw(0, 4))]
    manifold.inr.start_from(targets[0].weights)
    before = errors(manifold.inr, targets)
    stage = FitStage(optimization=Optimization(steps=300, rate=1e-2))
    fit(manifold.inr, targets, stage, Workspace(tmp_path, "x", LogProgress()), seed=0)
    after = errors(manifold.inr, targets)
    assert sum(after) < 0.25 * sum(before)


def test_generated_weights_of_another_scale_are_a_collapse(manifold):
    member = manifold.configure(compression=0.0)
    wanted = manifold.materialize(member)
    check_scale(manifold.architecture, member, wanted, wanted)
    for factor in (0.1, 10.0):
        made = wanted | {"conv2.weight": factor * wanted["conv2.weight"]}
        with pytest.raises(TrainingCollapsed, match=r"conv2.weight at Configuration\(conv1=8, conv2=12\)"):
            check_scale(manifold.architecture, member, made, wanted)
    check_scale(manifold.architecture, member, wanted | {"conv1.bias": 0 * wanted["conv1.bias"]}, wanted)


def test_one_output_for_every_input_is_a_collapse(manifold):
    member = manifold.configure(compression=0.5)
    inputs = torch.randn(8, 1, 8, 8)
    check_predictions(member, forward(manifold.materialize(member), inputs))
    zeros = {name: torch.zeros_like(value) for name, value in manifold.materialize(member).items()}
    with pytest.raises(TrainingCollapsed, match="same output"):
        check_predictions(member, forward(zeros, inputs))


def test_a_warm_start_that_misses_its_targets_is_a_collapse(manifold, tmp_path):
    full = Sampler(manifold.architecture).full
    wanted = manifold.materialize(full)
    targets = [Target(full, wanted), Target(full, {name: 100 * values for name, values in wanted.items()})]
    with pytest.raises(TrainingCollapsed, match="More warm-start steps"):
        fit(manifold.inr, targets, FitStage(optimization=Optimization(steps=1, rate=1e-6)), Workspace(tmp_path, "x", LogProgress()), seed=0)
