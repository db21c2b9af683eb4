"""Ablations: a recipe with one field changed at a time."""

from __future__ import annotations

import dataclasses
import logging
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from neumeta_trainer.compute import Compute
from neumeta_trainer.config import Recipe
from neumeta_trainer.data import Splits
from neumeta_trainer.errors import RecipeRefused, TrainingCollapsed
from neumeta_trainer.fingerprint import BASE_FIELDS, INR_FIELDS, NETWORK_FIELDS
from neumeta_trainer.overrides import overridden, variant_of
from neumeta_trainer.pipeline import carried_out, planned
from neumeta_trainer.results.record import RunRecord, file_name
from neumeta_trainer.results.recording import records_of
from neumeta_trainer.training.progress import Progress

logger = logging.getLogger(__name__)

AS_IT_IS = "as-it-is"


def variations(vary: Sequence[str]) -> list[str]:
    """``FIELD=V1,V2`` -> ``FIELD=V1`` and ``FIELD=V2``, in order; fields joined by ``+`` change together.

    A value in brackets is one value, whatever commas it has: ``family.levels=[],[0.75,0.5]``. Raises RecipeRefused for another form.
    """
    found = []
    for text in vary:
        field, equals, values = text.partition("=")
        if not field or not equals or not all(separate := _separate(values)):
            raise RecipeRefused(f"--vary {text}: expected FIELD=VALUE,VALUE,…")
        found += [f"{field}={value}" for value in separate]
    return found


def changes_of(variation: str) -> list[str]:
    """``A=1+B=2`` -> ``A=1`` and ``B=2``; the sign of an exponent (``A=1e+3``) joins nothing."""
    return re.split(r"\+(?=[a-z_][\w.]*=)", variation)


def _separate(values: str) -> list[str]:
    parts, depth = [""], 0
    for character in values:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def ablate(
    recipe: Recipe,
    vary: Sequence[str],
    splits: Splits,
    out: Path,
    progress: Progress,
    *,
    commands: Mapping[str, str],
    variant: str = "",
    final: bool = False,
    compute: Compute | None = None,
) -> Iterator[RunRecord]:
    """Run the recipe as it is and then once for every variation; yields the records of the manifolds as they come.

    Each run has a folder of its own below ``out``, named after its variation and made before anything is trained. A variation that
    leaves base and family alone takes both from the first run, and trains the whole INR again, unless only its measurement differs; one
    of the family trains the base again too. A run whose training collapses is told in the log and left out. ``commands`` names the
    command that makes each run again, by variation (and ``AS_IT_IS``); ``variant`` says in which settings ``recipe`` itself departs from
    the recipe of its name.
    Before anything is trained it raises RecipeRefused for a variation of another form, and for all recipes what ``planned`` does.
    """
    recipes = {AS_IT_IS: recipe} | {assignment: overridden(recipe, changes_of(assignment)) for assignment in variations(vary)}
    first, compute = out / AS_IT_IS, compute or Compute()
    plans = {name: planned(varied, splits, final=final, compute=compute) for name, varied in recipes.items()}
    folders = {name: out / file_name(name) for name in recipes}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for name, varied in recipes.items():
        folder = folders[name]
        # Processes that train together must not read what another one is still copying.
        if name != AS_IT_IS and _same(recipe, varied, INR_FIELDS) and compute.processes.is_first:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            for path in (first / "checkpoints").glob("*.pt"):
                shutil.copyfile(path, folder / "checkpoints" / path.name)
        compute.processes.wait()
        shared = _same(recipe, varied, NETWORK_FIELDS if recipe.family or varied.family else BASE_FIELDS)
        try:
            result = carried_out(plans.pop(name), splits, folder, progress, networks=first if shared else None)
        except TrainingCollapsed as error:
            logger.warning("%s collapsed: %s", name, error)
            continue
        changes = [variant, "" if name == AS_IT_IS else variant_of(changes_of(name))]
        yield records_of(varied, result, commands[name], ", ".join(filter(None, changes)))[0]


def _same(one: Recipe, other: Recipe, fields: Sequence[str]) -> bool:
    # Every stage also depends on the images, which ``validation`` divides.
    settings = [{name: value for name, value in dataclasses.asdict(recipe).items() if name in (*fields, "validation")} for recipe in (one, other)]
    return settings[0] == settings[1]
