from __future__ import annotations

import pytest
from neumeta_core.errors import ManifoldRefused
from neumeta_core.manifold import Manifold
from neumeta_service.catalog.catalog import Catalog, Refusal, VersionChoice
from neumeta_service.errors import ModelNotFound, VersionNotFound

from tests.tiny import tiny_manifold


def made(name: str, version: int) -> Manifold:
    manifold = tiny_manifold(name=name, version=version)
    manifold.digest = f"sha256:{name}-{version}"
    return manifold


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    manifolds = [made("tiny", 10), made("other", 1), made("tiny", 2)]
    refusals = [
        Refusal("tiny", 11, "it is truncated."),
        Refusal("broken", 1, "old."),
        Refusal("broken", 2, "new."),
        Refusal("tiny", None, "no JSON.", "aliases.json"),
    ]
    return Catalog(manifolds, refusals, {"tiny": {"stable": 2, "1.x": 10}})


def test_every_version_is_there_by_name_and_number(catalog: Catalog) -> None:
    assert [(manifold.header.name, manifold.header.version) for manifold in catalog] == [("other", 1), ("tiny", 2), ("tiny", 10)]
    assert catalog.releases == {("other", 1), ("tiny", 2), ("tiny", 10)}
    assert len(catalog) == 3


@pytest.mark.parametrize(("selector", "version"), [("latest", 10), (2, 2), ("2", 2), (10, 10), ("stable", 2), ("1.x", 10)])
def test_a_version_is_chosen_by_number_alias_or_as_the_latest(catalog: Catalog, selector: VersionChoice, version: int) -> None:
    assert catalog.manifold("tiny", selector).header.version == version


def test_without_a_choice_it_is_the_latest(catalog: Catalog) -> None:
    assert catalog.manifold("tiny").header.version == 10
    assert catalog.aliases("tiny") == {"latest": 10, "stable": 2, "1.x": 10}
    assert catalog.aliases("other") == {"latest": 1}
    assert catalog.aliases("broken") == catalog.aliases("nobody") == {}


@pytest.mark.parametrize("selector", [3, "3", "beta", "", "x" * 16_000])
def test_a_version_that_is_not_there(catalog: Catalog, selector: VersionChoice) -> None:
    with pytest.raises(VersionNotFound, match="GET /v1/models/tiny/versions") as caught:
        catalog.manifold("tiny", selector)
    assert len(str(caught.value)) < 250


def test_a_name_that_is_not_there(catalog: Catalog) -> None:
    with pytest.raises(ModelNotFound, match="'nobody'"):
        catalog.manifold("nobody")


@pytest.mark.parametrize(
    ("name", "selector", "reason"),
    [
        ("tiny", 11, "tiny version 11 was refused: it is truncated."),
        ("tiny", "11", "tiny version 11 was refused: it is truncated."),
        ("broken", "latest", "broken version 2 was refused: new."),
        ("broken", 1, "broken version 1 was refused: old."),
    ],
)
def test_what_was_refused_says_why(catalog: Catalog, name: str, selector: VersionChoice, reason: str) -> None:
    with pytest.raises(ManifoldRefused) as caught:
        catalog.manifold(name, selector)
    assert str(caught.value) == reason


def test_by_digest(catalog: Catalog) -> None:
    assert catalog.by_digest("sha256:tiny-2") is catalog.manifold("tiny", 2)
    assert catalog.by_digest("sha256:nobody") is None
