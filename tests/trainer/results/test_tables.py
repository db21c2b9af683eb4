"""Tables of hand-made records, to the letter."""

from __future__ import annotations

import statistics

import pytest
from neumeta_trainer.errors import ReportRefused
from neumeta_trainer.results.matrices import matrix_tables
from neumeta_trainer.results.record import RunRecord
from neumeta_trainer.results.selection import Scope, select
from neumeta_trainer.results.tables import cost_table, curve_table, unequal_table

from tests.trainer.results.records import ALL, ALONE, MANIFOLD, matrix, run

SCOPE = Scope("toy", "trial", "validation")

CURVE = """\
| compression | parameters | MACs | `alone` | `anchored` | `slices` |
| --- | --- | --- | --- | --- | --- |
| -0.25 ^ | 1,500 | 9,000 |  | 55.00 ± 7.07 |  |
| 0 | 1,000 | 6,000 | 91.00 | 91.00 ± 1.41 | 90.00 (1) |
| 0.25 * | 700 | 4,000 |  | 88.00 ± 0.00 | 70.50 ± 0.71 |
| 0.5 | 400 | 2,000 | 83.00 | 80.50 ± 0.71 | 75.50 ± 0.71 |

Accuracy, %, of 5,000 validation images; mean ± sample standard deviation over `alone`: one seed (0); `anchored`: 2 seeds (0, 1); \
`slices`: 2 seeds (0, 1). `*`: no training step of a manifold saw these widths. `^`: outside of the range of widths that was trained. \
In parentheses: the number of seeds where some are missing."""

COST = """\
| method | seeds | steps | seconds | MACs trained, 10^12 | file, bytes | of full network | share of INR | machine | command |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| `alone` | 1 | 2 networks of 100 to 250 | 60 |  |  |  |  | a machine | `neumeta train toy --set seed=0` |
| `anchored` | 2 | family 2,730, tune 390 | 100 ± 14 | 15 | 294,090 | 0.70 | 20.9% | a machine | `neumeta train toy --set seed=0` |

"""

UNEQUAL = """\
| configurations | `anchored` | `slices` | mean difference | worst difference | parameters there | MACs there |
| --- | --- | --- | --- | --- | --- | --- |
| 4 | 78.25 ± 1.06 | 79.00 ± 2.12 | -0.75 ± 3.18 | -5.00 | 650 | 3,900 |

Accuracy, %, of 5,000 validation images, 2 seeds (0, 1). Mean over configurations ± sample standard deviation over seeds of that mean; \
differences are `anchored` minus `slices`, in points, and the worst is the lowest. Every group has a random width of its own."""

MATRIX = """\
`manifold`

|  | 0 | 0.5 |
| --- | --- | --- |
| 0 | 0 ± 0 | 0.375 ± 0.1768 |
| 0.5 | 0.75 ± 0 | 2 |

Divergence. Mean of all pairs of different networks: 0.5625. 1,000 validation images, mean ± sample standard deviation over 2 seeds (0, 1). \
Made with `neumeta analyse similarity toy`."""


def test_the_curve_has_every_method_and_no_other_tier_or_split() -> None:
    assert curve_table(select(ALL, SCOPE)) == CURVE


def test_mean_and_spread_are_those_of_the_two_seeds() -> None:
    measured = [record.measurements[1].quality for record in MANIFOLD]
    cell = f"{100 * statistics.mean(measured):.2f} ± {100 * statistics.stdev(measured):.2f}"
    assert cell == "91.00 ± 1.41"
    assert curve_table({"anchored": MANIFOLD}).splitlines()[3] == f"| 0 | 1,000 | 6,000 | {cell} |"


def test_methods_can_be_chosen_and_ordered() -> None:
    header = curve_table(select(ALL, SCOPE, ["slices", "alone"])).splitlines()[0]
    assert header == "| compression | parameters | MACs | `slices` | `alone` |"


def test_sizes_that_differ_between_methods_are_given_as_a_range() -> None:
    other = run("pruned", 0, (None, 0.5))
    bigger = other.measurements[0].model_copy(update={"params": 1200, "compression": 1e-9})
    table = curve_table({"alone": ALONE, "pruned": [other.model_copy(update={"measurements": (bigger,)})]})
    assert "| 0 | 1,000 to 1,200 | 6,000 | 91.00 | 50.00 |" in table


def test_sizes_that_a_slimmable_network_was_not_trained_at_are_marked_in_its_own_cells() -> None:
    def trained(method: str, *widths: str) -> list[RunRecord]:
        sizes = [{"compression": 0.25 * k, "params": 1, "macs": 1, "quality": 0.5, "widths": kind} for k, kind in enumerate(widths)]
        return [run(method, 0, (), measurements=sizes)]

    slimmable = trained("slimmable tune=none", "trained", "held_out", "held_out")
    table = curve_table({"anchored": trained("anchored", "trained", "trained", "held_out"), "fixed": slimmable})
    assert table.splitlines()[2:5] == ["| 0 | 1 | 1 | 50.00 | 50.00 |", "| 0.25 | 1 | 1 | 50.00 | 50.00 ~ |", "| 0.5 * | 1 | 1 | 50.00 | 50.00 ~ |"]
    assert table.endswith("`*`: no training step of a manifold saw these widths. `~`: between the widths that this network was trained at.")
    assert "*" not in curve_table({"fixed": slimmable})


def test_the_cost_of_methods() -> None:
    assert cost_table(select(ALL, SCOPE, ["alone", "anchored"])).startswith(COST)


def test_two_methods_at_the_same_configurations_that_are_not_uniform() -> None:
    assert unequal_table(select(ALL, SCOPE, ["anchored", "slices"])) == UNEQUAL


def test_methods_that_share_no_configuration_are_refused() -> None:
    with pytest.raises(ReportRefused, match="anchored and alone share no configuration"):
        unequal_table(select(ALL, SCOPE, ["anchored", "alone"]))


def test_what_is_not_recorded_is_refused_with_what_is() -> None:
    with pytest.raises(ReportRefused, match="no records of toy short validation; expected one of: toy long validation; toy trial test; toy trial"):
        select(ALL, Scope("toy", "short", "validation"))
    with pytest.raises(ReportRefused, match=r"no records of the method 'mlp'.*alone; anchored; slices"):
        select(ALL, SCOPE, ["mlp"])
    with pytest.raises(ReportRefused, match="the folder holds no records"):
        select([], SCOPE)


@pytest.mark.parametrize(("settings", "same"), [("--set b=2 --set a=1 --set seed=1", True), ("--set a=1 --set seed=1", False)])
def test_seeds_of_one_method_have_the_same_settings(settings: str, same: bool) -> None:
    first = run("base first", 0, (0.9,), command="neumeta train toy --set a=1 --set=b=2 --label 'base first'")
    second = run("base first", 1, (0.8,), command=f"neumeta train toy --label 'base first' {settings}")
    if same:
        assert select([first, second], SCOPE) == {"base first": [first, second]}
    else:
        with pytest.raises(ReportRefused, match="base first was recorded with different settings for toy trial validation"):
            select([first, second], SCOPE)


def test_records_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ReportRefused, match="alone, seed 0, was recorded twice"):
        select([*ALONE, *ALONE], SCOPE)
    with pytest.raises(ReportRefused, match=r"different metrics \(accuracy, mIoU\)"):
        select([*ALONE, run("mlp", 0, (0.5,), metric="mIoU")], SCOPE)
    twice = ALONE[0].model_copy(update={"measurements": ALONE[0].measurements * 2})
    with pytest.raises(ReportRefused, match="alone, seed 0, has compression 0 twice"):
        select([twice], SCOPE)


def test_an_analysis_over_seeds_with_a_number_that_is_not_defined() -> None:
    records = [matrix(), matrix(seed=1, values=((0.0, 0.5), (0.75, 2.0))), matrix(subject="alone", split="test")]
    assert matrix_tables(records, "kl", SCOPE) == MATRIX


def test_every_subject_of_an_analysis_has_a_table() -> None:
    text = matrix_tables([matrix(), matrix(subject="alone")], "kl", SCOPE)
    assert text.index("`alone`") < text.index("`manifold`")
    named = matrix_tables([matrix(), matrix(subject="alone"), matrix(subject="other")], "kl", SCOPE, {"other": "mine", "alone": "alone"})
    assert [line for line in named.splitlines() if line.startswith("`")] == ["`mine`", "`alone`"]
    with pytest.raises(ReportRefused, match="there is no kl of 'nothing' for toy trial validation; expected one of: alone"):
        matrix_tables([matrix(subject="alone")], "kl", SCOPE, {"nothing": "nothing"})
    with pytest.raises(ReportRefused, match="no records of cka for toy trial validation; expected one of: kl toy trial validation"):
        matrix_tables([matrix()], "cka", SCOPE)
    with pytest.raises(ReportRefused, match="different rows or columns"):
        matrix_tables([matrix(), matrix(seed=1, rows=("0", "0.75"))], "kl", SCOPE)
