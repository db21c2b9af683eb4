"""What a card says about how a manifold was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from neumeta_core.manifold import Manifold
from neumeta_trainer.results.card import card

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "lenet-mnist" / "1" / "manifold.safetensors"


def made_by(fit_steps: int, tune: dict[str, Any] | None) -> str:
    manifold = Manifold.load(SHIPPED)
    training = dict(manifold.header.training)
    recipe = {name: stage for name, stage in training["recipe"].items() if name != "tune"} | ({"tune": tune} if tune else {})
    recipe["fit"] = recipe["fit"] | {"optimization": recipe["fit"]["optimization"] | {"steps": fit_steps}}
    header = manifold.header.model_copy(update={"training": training | {"recipe": recipe}})
    return card(
        Manifold(header, manifold.inr, manifold.encoding_in("fp32").template.SerializeToString(), digest=manifold.digest, size=manifold.size), {}, {}
    )


TUNE = {"optimization": {"steps": 702}, "batch": 128}


@pytest.mark.parametrize(("fit_steps", "tune"), [(1500, None), (0, TUNE), (1500, TUNE)])
def test_stages_that_trained_the_coordinate_networks(fit_steps: int, tune: dict[str, Any] | None) -> None:
    text = made_by(fit_steps, tune)
    assert "No stage trained the coordinate networks" not in text
    assert (f"fit {fit_steps:,} steps" in text) == bool(fit_steps)
    assert ("tune 702 steps of 128 images" in text) == bool(tune)


def test_coordinate_networks_that_nothing_trained_are_owned_up_to() -> None:
    text = made_by(0, None)
    assert "Stages: family 2,808 steps of 128 images.\nNo stage trained the coordinate networks: what they add to the plain weights is zero." in text
