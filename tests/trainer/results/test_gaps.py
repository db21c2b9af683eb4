"""Differences between methods and between sizes, to the letter."""

from __future__ import annotations

import pytest
from neumeta_trainer.errors import ReportRefused
from neumeta_trainer.results.gaps import gap_table, neighbours_table
from neumeta_trainer.results.selection import Scope, select

from tests.trainer.results.records import ALL

SCOPE = Scope("toy", "trial", "validation")

GAP = """\
| compression | minus `alone` | minus `slices` |
| --- | --- | --- |
| 0 | -1.00 (1) | +0.00 (1) |
| 0.25 |  | +17.50 ± 0.71 |
| 0.5 | -3.00 (1) | +5.00 ± 0.00 |

`anchored` minus the others, in points, 2 seeds (0, 1). Positive: `anchored` is better. In parentheses: the number of seeds where some are missing."""

NEIGHBOURS = """\
| compression held out | `anchored` | `slices` |
| --- | --- | --- |
| 0.25 | +2.25 ± 1.06 | -12.50 (1) |

Quality minus the mean of the two trained neighbours, in points, 2 seeds (0, 1). Negative: the size that was never trained is worse. \
In parentheses: the number of seeds where some are missing."""


def test_the_gap_is_taken_over_the_seeds_that_both_methods_have() -> None:
    assert gap_table(select(ALL, SCOPE, ["anchored", "alone", "slices"])) == GAP


def test_held_out_sizes_stand_against_the_trained_ones_beside_them() -> None:
    assert neighbours_table(select(ALL, SCOPE, ["anchored", "slices"])) == NEIGHBOURS


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ReportRefused, match="at least two"):
        gap_table(select(ALL, SCOPE, ["anchored"]))
    with pytest.raises(ReportRefused, match="held out"):
        neighbours_table(select(ALL, SCOPE, ["alone"]))
