"""What the commands share: their options, and how they begin and fail."""

from __future__ import annotations

import inspect as signatures
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from neumeta_core.errors import NeuMetaError
from rich.console import Console
from rich.markup import escape

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import LOADERS, Splits
from neumeta_trainer.overrides import overridden
from neumeta_trainer.recipes import RECIPES, TIERS
from neumeta_trainer.results.record import RunRecord, command_at, write_record
from neumeta_trainer.training import progress
from neumeta_trainer.training.progress import BarProgress, LogProgress, Progress

out_console, error_console = Console(), Console(stderr=True)
_LABEL = re.compile(r"\w[\w.,%+-]*( [\w.,%+-]+)*", re.ASCII)
_LONGEST_LABEL = 60
"""Letters. A method is a file's name too."""
_TAKEN = ("distilled", "equal", "calibrated", "smooth", "of", "at")
"""What the names of methods go on with that no label made."""


def _plain(label: str | None) -> str | None:
    """A label that can stand in a document's list of methods, whose signs are ``;`` and ``as``, and makes no other method's name."""
    if label is None:
        return None
    if not _LABEL.fullmatch(label) or len(label) > _LONGEST_LABEL or "as" in label.split():
        expected = f"expected at most {_LONGEST_LABEL} letters, digits, blanks and signs of _.,%+- that begin with a letter, without the word 'as'"
        raise typer.BadParameter(f"{label!r} is no label; {expected}.")
    if label.split()[0] in _TAKEN:
        raise typer.BadParameter(f"{label!r} would make the name of another method; begin it with another word than {', '.join(_TAKEN)}.")
    return label


RecipeName = Annotated[str, typer.Argument(help=f"One of: {', '.join(RECIPES)}.")]
DataFolder = Annotated[Path | None, typer.Option("--data", envvar="NEUMETA_DATA", help="Folder with the data sets in their standard formats.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the manifold, its report and the checkpoints.")]
Tier = Annotated[str | None, typer.Option("--tier", help="Amount of training, for recipes that have several: trial, short, medium or long.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change one field of the recipe: family.members=2, tune=none, inr.kind=mlp. Repeatable."),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label", callback=_plain, help="What records call the settings of --set, in place of their list. Settings of one label should be the same."
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Records = Annotated[Path | None, typer.Option("--records", help="Folder for a record of the results, for `neumeta report`.")]
Final = Annotated[bool, typer.Option("--final", help="Train on all images and measure on the test split, once; without it a part is set aside.")]


def chosen_recipe(name: str, tier: str | None, assignments: list[str] | None) -> Recipe:
    """The recipe of these options, or typer.BadParameter that names what is allowed."""
    if name not in RECIPES:
        raise typer.BadParameter(f"{name!r} is not known; choose one of {', '.join(RECIPES)}.", param_hint="RECIPE")
    make = RECIPES[name]
    if tier is not None and "tier" not in signatures.signature(make).parameters:
        raise typer.BadParameter(f"{name} has only one amount of training.", param_hint="--tier")
    if tier is not None and tier not in TIERS:
        raise typer.BadParameter(f"{tier!r} is not known; choose one of {', '.join(TIERS)}.", param_hint="--tier")
    return overridden(make(tier=tier) if tier else make(), assignments or ())


def typed_command(*without: str) -> str:
    """What was typed, without folders of this machine and without these options, each with its value."""
    left_out = ("--out", "--data", "--networks", "--records", "--run", "--alone", *without)
    words = sys.argv[1:]
    kept = [word for before, word in zip(["", *words], words, strict=False) if word.partition("=")[0] not in left_out and before not in left_out]
    return shlex.join(["neumeta", *kept])


def record_into(folder: Path | None, record: RunRecord) -> None:
    """Write a record where the user wants records."""
    if folder is None:
        return
    replaced = command_at(folder / record.path)
    place = f", in place of the record of `{replaced}`" if replaced not in (None, record.command) else ""
    say(f"Recorded {write_record(record, folder)}{place}.")


def say(text: str) -> None:
    """Print text as it is: what looks like markup may be the name of a folder."""
    out_console.print(text, soft_wrap=True, markup=False, emoji=False)


def progress_of(compute: Compute) -> Progress:
    """Bars for the first process on a terminal, else a log."""
    return BarProgress(error_console) if compute.processes.is_first and error_console.is_terminal else LogProgress()


def load_splits(recipe: Recipe, data: Path | None) -> Splits:
    """The data set of a recipe."""
    return LOADERS[recipe.data](data)


@contextmanager
def expected_errors(out: Path | None) -> Iterator[None]:
    """Turn expected errors into one sentence and exit code 1, and Ctrl-C into 130 with what to do next."""
    chosen = logging.getLevelNamesMapping().get(os.environ.get("NEUMETA_LOG_LEVEL", "").upper())
    logging.basicConfig(level=chosen or logging.WARNING, format="%(levelname)s %(message)s")
    if chosen is None:  # where nobody sees bars, the log says how work goes on
        logging.getLogger(progress.__name__).setLevel(logging.INFO)
    try:
        yield
    except (NeuMetaError, OSError) as error:
        error_console.print(f"[red]error:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        kept = f" The state is kept in {out}; the same command goes on from there." if out else ""
        error_console.print(f"Interrupted.{kept}", markup=False, emoji=False)
        raise typer.Exit(130) from None
