from __future__ import annotations

import torch
from neumeta_trainer.training.losses import distillation, reconstruction, regularization


def test_reconstruction_is_zero_exactly_at_the_wanted_values():
    wanted = {"a": torch.randn(3, 2), "b": torch.randn(4)}
    assert reconstruction(wanted, wanted) == 0


def test_reconstruction_is_relative_to_the_mean_square_of_each_parameter():
    wanted = {"a": torch.tensor([[1.0, 1.0], [1.0, 1.0]]), "b": torch.tensor([10.0])}
    made = {"a": torch.tensor([[2.0, 1.0], [1.0, 1.0]]), "b": torch.tensor([15.0])}
    # (1/4) / 1 and 25 / 100, averaged
    assert torch.isclose(reconstruction(made, wanted), torch.tensor(0.25))


def test_regularization_is_the_sum_of_norms_and_has_a_finite_gradient_at_zero():
    values = {"a": torch.zeros(3, requires_grad=True), "b": torch.tensor([3.0, 4.0])}
    loss = regularization(values)
    assert loss == 5
    loss.backward()
    assert torch.equal(values["a"].grad, torch.zeros(3))


def test_distillation_is_zero_for_equal_logits_positive_otherwise_and_spares_the_teacher():
    teacher = torch.randn(5, 3, requires_grad=True)
    student = torch.randn(5, 3, requires_grad=True)
    assert distillation(teacher.detach(), teacher).abs() < 1e-6
    loss = distillation(student, teacher, temperature=2.0)
    assert loss > 0
    loss.backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_distillation_has_the_direction_teacher_to_student():
    teacher, student = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    p, q = teacher.softmax(1), student.softmax(1)
    assert torch.isclose(distillation(student, teacher), (p * (p / q).log()).sum())
