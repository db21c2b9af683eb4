"""``neumeta publish``: from a run to the models folder of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neumeta_trainer.cli.options import expected_errors, say
from neumeta_trainer.results.card import publish as publish_run


def publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished `neumeta train`.")],
    models: Annotated[Path, typer.Option("--to", help="Models folder of the service.")] = Path("models"),
    alone: Annotated[Path | None, typer.Option("--alone", help="Folder with the results of `neumeta alone`, for the card.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a version that is there, with its card and signature.")] = False,
) -> None:
    """Put a finished run where the service finds it, with its card, report and picture. A version that is there is not replaced."""
    with expected_errors(None):
        say(f"Published {publish_run(run, alone, models, replace=replace)}")
