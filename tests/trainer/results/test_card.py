"""What a card says about how a manifold was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from neumeta_core.manifold import Manifold
from neumeta_trainer.results.card import card
from neumeta_trainer.results.trained_alone import TrainedAlone

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "lenet-mnist" / "1" / "manifold.safetensors"


def made_by(fit_steps: int, tune: dict[str, Any] | None) -> str:
    manifold = Manifold.load(SHIPPED)
    training = dict(manifold.header.training)
    recipe = {name: stage for name, stage in training["recipe"].items() if name != "tune"} | ({"tune": tune} if tune else {})
    recipe["fit"] = recipe["fit"] | {"optimization": recipe["fit"]["optimization"] | {"steps": fit_steps}}
    header = manifold.header.model_copy(update={"training": training | {"recipe": recipe}})
    template = manifold.encoding_in("fp32").template.SerializeToString()
    return card(Manifold(header, manifold.inr, template, digest=manifold.digest, size=manifold.size), {}, TrainedAlone())


TUNE = {"optimization": {"steps": 702}, "batch": 128}


@pytest.mark.parametrize(("fit_steps", "tune"), [(1500, None), (0, TUNE), (1500, TUNE)])
def test_stages_that_trained_the_coordinate_networks(fit_steps: int, tune: dict[str, Any] | None) -> None:
    text = made_by(fit_steps, tune)
    assert "No stage trained the coordinate networks" not in text
    assert (f"fit {fit_steps:,} steps" in text) == bool(fit_steps)
    assert ("tune 702 steps of 128 images" in text) == bool(tune)


def test_members_with_a_width_of_its_own_for_every_group_are_reported_where_they_were_measured() -> None:
    manifold = Manifold.load(SHIPPED)
    text = card(manifold, {}, TrainedAlone(), {"members": 20, "mean": 0.8057, "lowest": 0.7521, "mean_of_slices": 0.8164})
    assert "20 members with a random width\nof its own for every group have 80.57 % on average and 75.21 % at the lowest; slices" in text
    assert "have 81.64 % on average." in text
    assert all("random width" not in card(manifold, {}, TrainedAlone(), unequal) for unequal in ({}, None))


def test_coordinate_networks_that_nothing_trained_are_owned_up_to() -> None:
    text = made_by(0, None)
    assert "Stages: family 2,808 steps of 128 images.\nNo stage trained the coordinate networks: what they add to the plain weights is zero." in text


def test_slices_are_found_whichever_way_their_compression_is_written() -> None:
    text = card(Manifold.load(SHIPPED), {"0": 0.9876, "0.50": 0.9543}, TrainedAlone())
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| 0.")}
    assert "| 98.76 |" in rows["0.00"]
    assert "| 95.43 |" in rows["0.50"]


def test_networks_trained_alone_are_compared_in_words() -> None:
    manifold = Manifold.load(SHIPPED)
    assert manifold.header.curve is not None
    quality = {point.compression: point.quality for point in manifold.header.curve.points}
    mixed = card(manifold, {}, TrainedAlone({0.0: quality[0.0] + 0.001, 0.5: quality[0.5] - 0.02}))
    assert "The largest loss against a network of the same widths trained alone is 0.10 points." in mixed
    ahead = card(manifold, {}, TrainedAlone({0.0: quality[0.0] - 0.001, 0.5: quality[0.5] - 0.02}))
    assert "It beats networks of the same widths trained alone (by the command below) at all of 2 sizes, by 0.10 points or more." in ahead


def test_many_labels_are_a_number_and_two_of_them() -> None:
    assert "labels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9. INR kind" in made_by(1500, TUNE)
    manifold = Manifold.load(SHIPPED.parents[2] / "resnet20-cifar100" / "1" / "manifold.safetensors")
    assert "on cifar100, 100 labels from apple to worm. INR kind" in card(manifold, {}, TrainedAlone())


def test_the_command_that_makes_it_again_is_there() -> None:
    manifold = Manifold.load(SHIPPED)
    assert "```bash\nneumeta train lenet-mnist --final --out runs/lenet-mnist\n```" in card(manifold, {}, TrainedAlone())
    header, template = manifold.header.model_copy(update={"name": "my-net"}), manifold.encoding_in("fp32").template
    own = Manifold(header, manifold.inr, template.SerializeToString(), size=1, digest="")
    assert "```bash" not in card(own, {}, TrainedAlone())
