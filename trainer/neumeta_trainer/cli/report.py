"""``neumeta report``: documents from records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from neumeta_trainer.cli.options import error_console, expected_errors, say
from neumeta_trainer.results.document import fill, write


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the recorded results.")] = Path("results"),
    into: Annotated[Path, typer.Option("--into", help="Markdown document whose regions are filled.")] = Path("docs/results.md"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when the document differs from what the records give.")] = False,
) -> None:
    """Fill the marked regions of a document with tables and pictures of all recorded results.

    A region lies between <!-- report: KIND RECIPE TIER SPLIT --> and <!-- end -->.
    """
    with expected_errors(None):
        filled = fill(into, folder)
        if not check:
            write(into, filled)
            say(f"{into}: {len(filled.changed)} regions changed.")
        elif filled.changed:
            for region in filled.changed:
                found = escape(f"{into}, region {region} differs from the records in {folder}.")
                error_console.print(f"[red]error:[/red] {found}", soft_wrap=True)
            raise typer.Exit(1)
