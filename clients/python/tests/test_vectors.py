"""Signed answers that the service's own code has made: what the client takes, and what it refuses with which error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import neumeta_client
from neumeta_client import TrustRoot, VerificationError

VECTORS = json.loads((Path(__file__).parent / "vectors" / "signatures.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_is_judged_rightly(call, service, cache, files, vector):
    service.on("materialize", service.reply(200, "application/json", json.dumps(vector["answer"]).encode()))
    root = TrustRoot(frozenset(vector["roots"]), clock=lambda: vector["now"])
    client = call(url=service.url, cache=cache, trust_root=root)
    if vector["error"] is None:
        assert client.manifest("lenet-mnist", **vector["asked"]).digest == vector["answer"]["digest"]
        assert files() == []
        return
    with pytest.raises(VerificationError) as caught:
        client.manifest("lenet-mnist", **vector["asked"])
    assert type(caught.value) is getattr(neumeta_client, vector["error"])
    assert str(caught.value).isprintable()
    assert files() == []


def test_they_are_many_and_of_every_kind():
    kinds = {vector["error"] for vector in VECTORS}
    assert kinds == {None, "SignatureMissing", "SignatureInvalid", "SignatureExpired", "CertificateExpired"}
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) > 40


def test_without_a_trust_root_every_answer_is_taken(call, service, cache):
    for vector in VECTORS:
        service.on("materialize", service.reply(200, "application/json", json.dumps(vector["answer"]).encode()))
        assert call(url=service.url, cache=cache).manifest("lenet-mnist", **vector["asked"])
