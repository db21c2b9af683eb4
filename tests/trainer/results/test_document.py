"""Regions of a document: filled, checked, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from neumeta_trainer.cli import app
from neumeta_trainer.errors import RecordRefused, ReportRefused
from neumeta_trainer.results.document import fill, write
from neumeta_trainer.results.record import read_matrices, read_records, write_record
from typer.testing import CliRunner

from tests.trainer.results.records import ALL, MANIFOLD, matrix

ROOT = Path(__file__).parents[3]
DOCUMENT = """# Numbers

By hand: 42.

<!-- report: curve toy trial validation -->
<!-- end -->

More by hand.

<!-- report: plot toy trial validation -->
<!-- end -->
<!-- report: unequal toy trial validation: anchored; slices -->
old
<!-- end -->
<!-- report: cost toy trial validation: anchored -->
<!-- end -->
<!-- report: kl toy trial validation -->
<!-- end -->
"""


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    for record in (*ALL, matrix()):
        write_record(record, folder)
    return folder


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "docs" / "numbers.md"
    path.parent.mkdir()
    path.write_text(DOCUMENT)
    return path


def run_report(records: Path, document: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["report", str(records), "--into", str(document), *options])
    return result.exit_code, " ".join(result.output.split())


def test_one_folder_holds_runs_and_analyses(records: Path) -> None:
    assert len(read_records(records)) == len(ALL)
    assert read_matrices(records) == [matrix()]


def test_a_matrix_that_is_not_one_and_an_unknown_kind_are_refused(records: Path) -> None:
    path = records / matrix().path
    whole = path.read_text()
    path.write_text(whole.replace('"0.5"', '"0.5", "0.6"', 1))
    with pytest.raises(RecordRefused, match="no record of an analysis: the top: values must have 3 rows of 2"):
        read_records(records)
    path.write_text(whole.replace('"matrix"', '"cube"'))
    with pytest.raises(RecordRefused, match="of kind 'cube'; expected one of run, matrix"):
        read_matrices(records)


def test_a_filled_document_keeps_what_was_written_by_hand_and_is_checked(records: Path, document: Path) -> None:
    assert run_report(records, document, "--check")[0] == 1
    assert document.read_text() == DOCUMENT
    assert run_report(records, document) == (0, f"{document}: 5 regions changed.")
    text = document.read_text()
    assert "By hand: 42." in text
    assert "More by hand." in text
    assert "old" not in text.splitlines()
    assert "| 0.25 * | 700 | 4,000 |  | 88.00 ± 0.00 | 70.50 ± 0.71 |" in text
    assert "| `anchored` | 2 | family 2,730, tune 390 |" in text
    assert "| 0.5 | 0.75 |  |" in text
    assert "](numbers/toy-trial-validation.png)" in text
    assert run_report(records, document, "--check") == (0, "")
    filled = fill(document, records)
    assert filled.text == text
    assert filled.changed == []


def test_a_method_may_have_another_name_in_a_region(records: Path, document: Path) -> None:
    document.write_text("<!-- report: gap toy trial validation: anchored as with INR; slices -->\n<!-- end -->\n")
    assert run_report(records, document)[0] == 0
    text = document.read_text()
    assert "`with INR` minus the others" in text
    assert "minus `slices`" in text
    assert "`anchored`" not in text
    assert run_report(records, document, "--check") == (0, "")


def test_the_picture_is_a_png(records: Path, document: Path) -> None:
    write(document, fill(document, records))
    picture = document.parent / "numbers" / "toy-trial-validation.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000


def test_check_names_the_region_in_which_a_cell_was_changed(records: Path, document: Path) -> None:
    write(document, fill(document, records))
    document.write_text(document.read_text().replace("70.50 ± 0.71", "71.50 ± 0.71"))
    code, output = run_report(records, document, "--check")
    assert code == 1
    assert "region curve toy trial validation differs from the records" in output
    assert "region cost" not in output


def test_check_sees_another_record_and_a_picture_that_is_old_or_gone(records: Path, document: Path) -> None:
    write(document, fill(document, records))
    better = MANIFOLD[0].measurements[0].model_copy(update={"quality": 0.51})
    write_record(MANIFOLD[0].model_copy(update={"measurements": (better, *MANIFOLD[0].measurements[1:])}), records)
    assert [region.kind for region in fill(document, records).changed] == ["curve", "plot"]
    write_record(MANIFOLD[0], records)
    assert run_report(records, document, "--check")[0] == 0
    (document.parent / "numbers" / "toy-trial-validation.png").unlink()
    assert "region plot toy trial validation differs" in run_report(records, document, "--check")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- report: curve toy short validation -->\n<!-- end -->\n", "region curve toy short validation: there are no records of toy short"),
        ("<!-- report: curve toy trial validation: mlp -->\n<!-- end -->\n", "no records of the method 'mlp'"),
        ("<!-- report: unequal toy trial validation -->\n<!-- end -->\n", "it compares two methods"),
        (
            "<!-- report: gap toy trial validation: anchored as same; slices as same -->\n<!-- end -->\n",
            "names a method twice or two",
        ),
        ("<!-- report: gap toy trial validation: anchored as slices; slices -->\n<!-- end -->\n", "names a method twice or two"),
        (
            "<!-- report: gap toy trial validation: anchored as one; anchored as two -->\n<!-- end -->\n",
            "names a method twice or two",
        ),
        ("<!-- report: pie toy trial validation -->\n<!-- end -->\n", "starts no region; expected .*curve, cost, plot"),
        ("<!-- report: curve toy -->\n<!-- end -->\n", "starts no region"),
        ("<!-- report: curve toy trial validation -->\ntext\n", "has no <!-- end --> of its own"),
        ("<!-- report: curve toy trial validation -->\n<!-- report: cost toy trial validation -->\n<!-- end -->\n", "has no <!-- end -->"),
        ("text\n<!-- end -->\n", "<!-- end --> starts no region"),
        (
            "<!-- report: plot toy trial validation -->\n<!-- end -->\n<!-- report: plot toy trial validation: alone -->\n<!-- end -->\n",
            "draws other methods",
        ),
    ],
)
def test_a_region_that_cannot_be_filled_is_refused(records: Path, document: Path, text: str, message: str) -> None:
    document.write_text(text)
    with pytest.raises(ReportRefused, match=message):
        fill(document, records)
    code, output = run_report(records, document)
    assert code == 1
    assert "error:" in output
    assert document.read_text() == text


@pytest.mark.parametrize("page", ["results.md", "experiments.md"])
def test_the_results_in_the_documentation_are_those_that_were_recorded(page: str) -> None:
    changed = fill(ROOT / "docs" / page, ROOT / "results").changed
    assert [str(region) for region in changed] == [], "run `make report`"


def test_a_document_that_is_not_there_is_named(records: Path) -> None:
    with pytest.raises(ReportRefused, match=r"nothing\.md is no file"):
        fill(records / "nothing.md", records)
