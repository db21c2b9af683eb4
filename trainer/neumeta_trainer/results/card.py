"""The model card: what ships beside a manifold, written from the results of its runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neumeta_core.curve import CurvePoint
from neumeta_core.manifold import Manifold
from pydantic import JsonValue

from neumeta_trainer.errors import RunNotFinished, VersionTaken
from neumeta_trainer.export.manifold import FILE_NAME
from neumeta_trainer.origin import command_of
from neumeta_trainer.results.plot import plot_curve
from neumeta_trainer.results.report import file_facts, held_out_ratios
from neumeta_trainer.results.trained_alone import TrainedAlone, trained_alone_in
from neumeta_trainer.training.interrupt import deferred_interrupt

_MOST_LABELS = 20
"""More of them are a number and two examples: the file has them all."""


def publish(run: Path, alone: Path | None, models: Path, *, replace: bool = False) -> Path:
    """Copy a finished run to ``models/NAME/VERSION/`` with its report, picture and card; returns that folder.

    ``alone`` holds the results of ``neumeta alone`` for the same recipe. A folder that is there already is only replaced with
    ``replace``. Raises RunNotFinished when the run has no report, VersionTaken when that folder is there, RecordRefused when
    ``alone`` holds no results that it can be compared with.
    """
    if not (run / "report.json").is_file():
        raise RunNotFinished(f"{run} holds no report.json: it is no finished run of `neumeta train`.")
    manifold = Manifold.load(run / FILE_NAME)
    report = json.loads((run / "report.json").read_text())
    if report["file"]["digest"] != manifold.digest:
        raise RunNotFinished(f"{run}: report.json belongs to another manifold; run `neumeta train` again.")
    beside = trained_alone_in(alone, manifold) if alone else TrainedAlone()
    folder = models / manifold.header.name / str(manifold.header.version)
    if folder.exists() and not replace:
        raise VersionTaken(
            f"{folder} is there already, and a version that was served never changes. The same `neumeta train` with --set "
            f"version={manifold.header.version + 1} gives the run another number and trains nothing again. Or say --replace: that folder is "
            "removed then, with its signature and what was written into its card."
        )
    # Services take folders with a number for a name, so none sees this one before it is whole.
    staging, aside = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    for left_over in (staging, aside):
        shutil.rmtree(left_over, ignore_errors=True)
    staging.mkdir(parents=True)
    shutil.copyfile(run / FILE_NAME, staging / FILE_NAME)
    _describe(staging, manifold, report, beside)
    with deferred_interrupt():
        if folder.exists():
            # To remove it takes a while, in which the other must be there already.
            folder.rename(aside)
        try:
            staging.rename(folder)
        except OSError:
            if aside.exists():
                aside.rename(folder)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _describe(folder: Path, manifold: Manifold, report: dict[str, Any], alone: TrainedAlone) -> None:
    curve = manifold.header.curve
    assert curve is not None
    (folder / "report.json").write_text(json.dumps(report | {"alone": alone.qualities}, indent=1) + "\n")
    plot_curve(folder / "curve.png", f"{manifold.header.name} {manifold.header.version}", curve, held_out_ratios(manifold), alone.qualities)
    (folder / "README.md").write_text(card(manifold, report["slices"], alone, report.get("unequal")))


def _steps(recipe: Mapping[str, JsonValue], stage: str) -> int:
    """Gradient steps of a stage, of which a recipe may have none."""
    found = recipe.get(stage)
    optimization = found["optimization"] if isinstance(found, dict) else None
    steps = optimization["steps"] if isinstance(optimization, dict) else 0
    assert isinstance(steps, int)
    return steps


def card(
    manifold: Manifold,
    slices: Mapping[str, float],
    alone: TrainedAlone,
    unequal: Mapping[str, float] | None = None,
) -> str:
    """The card as Markdown: ``slices`` are qualities by compression, ``unequal`` those of a report."""
    header, facts = manifold.header, file_facts(manifold)
    training, curve = header.training, header.curve
    assert curve is not None
    held_out = ", ".join(f"{low:g} to {high:g}" for low, high in held_out_ratios(manifold)) or "none"
    worst = min(curve.points, key=lambda point: point.quality)
    gaps = [alone.qualities[point.compression] - point.quality for point in curve.points if point.compression in alone.qualities]
    compared = f" {_compared(gaps)}" if gaps else ""
    stored, coordinates = facts["stored_values"], facts["coordinate_network_values"]
    shares = f"{stored:,}, of which {coordinates:,} ({facts['coordinate_network_share']:.1%}) are coordinate networks; the others are shared weights"
    size = f"{facts['bytes']:,} = {facts['bytes_over_full_network']} of one full network in fp32 ({facts['full_network_fp32_bytes']:,})"
    prepared = f"`(raw * {header.input.scale:g} - {list(header.input.mean)}) / {list(header.input.std)}`"
    worst_text = f"Lowest {curve.metric} on the curve: {100 * worst.quality:.2f} % at compression {worst.compression:g}."
    # A compression is a number: JSON keys may write it in another way.
    bare = {float(compression): quality for compression, quality in slices.items()}
    beside = f"*Trained alone*: {_trained_alone(alone, training['recipe'])}"
    rows = "\n".join(_row(point, bare, alone.qualities) for point in curve.points)
    return f"""# {header.name} {header.version}

{header.task.capitalize()} on {training["data"]}, {_labels(header.labels)}. INR kind `{facts["kind"]}`, compression 0 to
{header.architecture.max_compression:g}. {worst_text}{compared}

| compression | parameters | multiply-adds | {curve.metric}, % | slices without INR, % | trained alone, % |
|---|---|---|---|---|---|
{rows}

`*`: no training step has seen any of these widths. {curve.samples:,} {curve.split} images, measured once, at the end. *Slices without INR*: the
family's own weights with BatchNorm calibrated for that size on training images. {beside}{_unequal(unequal)}

Compression is the share of channels left out of every layer; a width ratio is 1 minus it. An empty cell was not measured. Bytes of the full
network are its parameters alone; an ONNX file has some more. The other words, and what each stage does, are in docs/training.md of the project.

![curve](curve.png)

## The file

| | |
|---|---|
| digest | `{facts["digest"]}` |
| bytes | {size} |
| stored values of the INR | {shares} |
| input | {list(header.input.shape)}, {header.input.layout}, {prepared} |

## How it was made

{training["images"]:,} training images, seed {training["seed"]}, width ratios held out of training: {held_out}. One run of one seed;
how far another seed would differ was not measured. {_stages(training["recipe"], header.inr.kind)}

The whole recipe is stored in the file and in [report.json](report.json).{_again(manifold)}

Versions: {", ".join(f"{name} {number}" for name, number in _versions(manifold).items())}.
"""


def _labels(labels: Sequence[str]) -> str:
    if len(labels) <= _MOST_LABELS:
        return f"labels {', '.join(labels)}"
    return f"{len(labels)} labels from {labels[0]} to {labels[-1]}"


def _row(point: CurvePoint, slices: Mapping[float, float], alone: Mapping[float, float]) -> str:
    mark = " *" if point.held_out else ""
    beside = slices.get(point.compression), alone.get(point.compression)
    cells = [f"{100 * quality:.2f}" if quality is not None else "" for quality in (point.quality, *beside)]
    return f"| {point.compression:.2f}{mark} | {point.params:,} | {point.macs:,} | {' | '.join(cells)} |"


def _compared(gaps: Sequence[float]) -> str:
    if max(gaps) < 0:
        least = f"at all of {len(gaps)} sizes, by {-100 * max(gaps):.2f} points or more"
        return f"It beats networks of the same widths trained alone (by the command below) {least}."
    return f"The largest loss against a network of the same widths trained alone is {100 * max(gaps):.2f} points."


def _trained_alone(alone: TrainedAlone, recipe: JsonValue) -> str:
    if not alone.qualities:
        return "not measured."
    assert isinstance(recipe, dict)
    own = sum(_steps(recipe, name) for name in ("base", "family", "tune"))
    together = "the manifold's base, family and end-to-end stages"
    if alone.steps is None:
        steps = "a number of steps that was not recorded"
    else:
        steps = f"as many steps as {together} together" if alone.steps == own else f"{alone.steps:,} steps where {together} took {own:,} together"
    by = f"\n(`{alone.command}`)" if alone.command else ""
    return f"one network of these\nwidths, {steps}, the same seed{by}."


def _unequal(measured: Mapping[str, float] | None) -> str:
    if not measured:
        return ""
    mean, lowest, slices = (f"{100 * measured[name]:.2f} %" for name in ("mean", "lowest", "mean_of_slices"))
    return (
        f"\n\nA compression, a named size or a budget gives all groups one width ratio. {measured['members']:g} members with a random width\n"
        f"of its own for every group have {mean} on average and {lowest} at the lowest; slices calibrated for each of them have {slices} on average."
    )


def _stages(recipe: JsonValue, kind: str) -> str:
    """The steps of every stage that the recipe has, and whether any of them trained the coordinate networks."""
    assert isinstance(recipe, dict)
    steps, taught = [], 0
    for name in ("base", "family", "fit", "tune"):
        if count := _steps(recipe, name):
            stage = recipe[name]
            assert isinstance(stage, dict)
            steps.append(f"{name} {count:,} steps" + (f" of {stage['batch']} images" if "batch" in stage else ""))
            taught += count if name in ("fit", "tune") else 0
    zero = ": what they add to the plain weights is zero" if kind == "anchored" else ""
    untaught = "" if taught else f"\nNo stage trained the coordinate networks{zero}."
    return f"Stages: {', '.join(steps)}.{untaught}"


def _again(manifold: Manifold) -> str:
    command = command_of(manifold)
    return f" The command that follows it again:\n\n```bash\n{command} --out runs/{manifold.header.name}\n```" if command else ""


def _versions(manifold: Manifold) -> dict[str, str]:
    versions = manifold.header.training["versions"]
    assert isinstance(versions, dict)
    return {name: str(number) for name, number in versions.items()}
