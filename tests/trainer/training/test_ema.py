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


def test_the_average_is_no_alias_of_the_module():
    module = nn.Linear(2, 1)
    ema = EMA(module, decay=0.9)
    before = ema.average["weight"].clone()
    set_all(module, 7.0)
    assert torch.equal(ema.average["weight"], before)
    ema.copy_to_module()
    set_all(module, 8.0)
    assert torch.equal(ema.average["weight"], before)
