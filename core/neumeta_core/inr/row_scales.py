"""Scales of the rows of weights, from the sizes alone.

How far the spread of a row's outputs is from what its moments say depends on the widths upstream, smoothly, and differently for every row: channels
have few near neighbours in any order. So there is one output for every row and no channel coordinate.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu


class RowScales(nn.Module):
    """Encoded sizes ``[..., conditions]`` -> logarithms of factors ``[..., rows]``; they start at zero."""

    def __init__(self, conditions: int, hidden: int, rows: int) -> None:
        super().__init__()
        self.from_sizes = nn.Linear(conditions, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, rows)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, conditions: Tensor) -> Tensor:
        """All rows that are scaled, block after block."""
        made: Tensor = self.out(silu(self.hidden(silu(self.from_sizes(conditions)))))
        return made
