from __future__ import annotations

import torch
from neumeta_trainer.training.ema import EMA
from torch import nn


def set_all(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def test_follows_the_closed_form():
    module = nn.Linear(2, 2)
    set_all(module, 1.0)
    ema = EMA(module, decay=0.9)
    set_all(module, 3.0)
    for _ in range(7):
        ema.update()
    expected = 0.9**7 * 1.0 + (1 - 0.9**7) * 3.0
    assert all(torch.allclose(value, torch.tensor(expected)) for value in ema.average.values())


def test_applied_gives_the_module_its_own_values_back_bit_for_bit():
    module = nn.Linear(3, 2)
    ema = EMA(module, decay=0.5)
    set_all(module, 0.3)
    ema.update()
    own = {name: value.clone() for name, value in module.named_parameters()}
    with ema.applied():
        assert not torch.equal(module.weight, own["weight"])
        assert torch.equal(module.weight, ema.average["weight"])
    assert all(torch.equal(value, own[name]) for name, value in module.named_parameters())


def test_the_average_is_no_alias_of_the_module():
    module = nn.Linear(2, 1)
    ema = EMA(module, decay=0.9)
    before = ema.average["weight"].clone()
    set_all(module, 7.0)
    assert torch.equal(ema.average["weight"], before)
    ema.copy_to_module()
    set_all(module, 8.0)
    assert torch.equal(ema.average["weight"], before)
