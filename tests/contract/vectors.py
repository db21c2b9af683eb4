"""Signed answers and what becomes of them, made by the core; the client's tests read them from a file.

``python -m tests.contract.vectors`` writes the file anew. Ed25519 is deterministic, so nothing changes unless a format does.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from neumeta_core.errors import SignatureRefused
from neumeta_core.signing.bundle import Bundle
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.keys import public_of
from neumeta_core.signing.manifest import ManifestStatement
from neumeta_core.signing.payload import LEEWAY_S, Kind
from pydantic import ValidationError

from tests.core.signing.authority import DAY, NEXT_ROOT, NOW, ONLINE, ROOT, STRANGER, certificate, credentials

FILE = Path(__file__).parents[2] / "clients" / "python" / "tests" / "vectors" / "signatures.json"
DIGEST = f"sha256:{'d1' * 32}"
MANIFEST: dict[str, Any] = {
    "model": "lenet-mnist",
    "version": 3,
    "digest": DIGEST,
    "size": 65536,
    "url": f"/v1/artifacts/{DIGEST}",
    "filename": "lenet-mnist-3-c0.500-fp32-d1d1d1d1d1d1.onnx",
    "spec": {
        "model": "lenet-mnist",
        "version": 3,
        "manifold": f"sha256:{'a0' * 32}",
        "widths": {"conv1": 16, "conv2": 32},
        "precision": "fp32",
        "opset": 17,
    },
    "spec_digest": f"sha256:{'5e' * 32}",
    "compression": {"requested": None, "effective": 0.5},
    "cost": {"params": 17000, "macs": 1900000, "bytes": 65536},
    "quality": {"metric": "accuracy", "value": 0.991, "kind": "measured", "precision": "fp32"},
    "input": {"name": "input", "shape": [1, 28, 28], "layout": "NCHW", "scale": 0.00392156862745098, "mean": [0.1307], "std": [0.3081]},
    "output": {"name": "logits"},
    "labels": ["zéro", "one"],
    "builder": "2",
}
HALF = {"compression": 0.5}
Vector = dict[str, Any]


def signature(by: Credentials | None = None, issued: int = NOW, expires: int = NOW + DAY) -> Any:
    statement = ManifestStatement(manifest=MANIFEST, issued=issued, expires=expires)
    return json.loads((by or credentials()).sign(statement).model_dump_json())


def vector(name: str, made: Any, error: str | None = None, *, opens: bool | None = None, asked: Any = HALF, **changes: Any) -> Vector:
    """``opens``: whether the signature itself is good; ``changes``: fields of the answer that were changed on the way."""
    answer = MANIFEST | {"compression": {"requested": asked.get("compression"), "effective": 0.5}, "signature": made} | changes
    return {
        "name": name,
        "now": NOW,
        "roots": [public_of(ROOT)],
        "asked": asked,
        "answer": answer,
        "opens": error is None if opens is None else opens,
        "error": error,
    }


def good() -> Iterator[Vector]:
    over_next = credentials(certificate(NEXT_ROOT, Kind.CERTIFICATE), certificate(ONLINE, issuer=NEXT_ROOT))
    yield vector("a certified key", signature())
    yield vector("a root", signature(Credentials(ROOT)))
    yield vector("the next root, for those who trust the old one", signature(over_next))
    yield vector("the next root, for those who trust it", signature(over_next)) | {"roots": [public_of(NEXT_ROOT), public_of(STRANGER)]}
    yield vector("a certificate that begins now", signature(credentials(certificate(ONLINE, not_before=NOW + LEEWAY_S))))
    yield vector("a signer whose clock is ahead", signature(issued=NOW + LEEWAY_S))
    yield vector("the last second", signature(credentials(certificate(ONLINE, not_after=NOW + 1)), expires=NOW + 1))
    yield vector("the widths that were asked for", signature(), asked={"widths": {"conv2": 32, "conv1": 16}})
    yield vector("within the budget", signature(), asked={"budget": {"params": 17000, "macs": 1900000, "bytes": 65536}})


def wrong_authority() -> Iterator[Vector]:
    for name, by in {
        "no certificate": Credentials(ONLINE),
        "another root": credentials(certificate(ONLINE, issuer=STRANGER)),
        "its own issuer": credentials(certificate(ONLINE, issuer=ONLINE)),
        "the certificate of another key": credentials(certificate(STRANGER)),
        "a certificate for manifolds": credentials(certificate(ONLINE, Kind.MANIFOLD)),
        "a certificate for certificates": credentials(certificate(ONLINE, Kind.CERTIFICATE)),
        "an issuer that may not certify": credentials(certificate(NEXT_ROOT), certificate(ONLINE, issuer=NEXT_ROOT)),
        "a statement in the place of a certificate": credentials(Bundle.model_validate_json(json.dumps(signature(Credentials(ROOT)))).envelope),
    }.items():
        yield vector(name, signature(by), "SignatureInvalid")
    yield vector("an expired certificate", signature(credentials(certificate(ONLINE, not_after=NOW))), "CertificateExpired")
    early = certificate(ONLINE, not_before=NOW + LEEWAY_S + 1)
    yield vector("a certificate of tomorrow", signature(credentials(early)), "CertificateExpired")
    old = credentials(certificate(NEXT_ROOT, Kind.CERTIFICATE, not_after=NOW), certificate(ONLINE, issuer=NEXT_ROOT))
    yield vector("an expired certificate in the middle", signature(old), "CertificateExpired")


def damaged() -> Iterator[Vector]:
    presented = json.loads(Bundle(envelope=certificate(ONLINE)).model_dump_json())
    yield vector("a certificate in the place of a manifest", presented, "SignatureInvalid")
    other = json.loads(Credentials(ROOT).sign(ManifestStatement(manifest=MANIFEST | {"size": 1}, issued=NOW, expires=NOW + DAY)).model_dump_json())
    for name, path, value in (
        ("another payload", ("envelope", "payload"), other["envelope"]["payload"]),
        ("another type", ("envelope", "payloadType"), Kind.CERTIFICATE.payload_type),
        ("another signature", ("envelope", "signatures"), [{"keyid": public_of(ONLINE), "sig": b64encode(bytes(64)).decode()}]),
        ("a signature that is cut", ("envelope", "signatures"), [{"keyid": public_of(ONLINE), "sig": b64encode(bytes(63)).decode()}]),
        ("another name of the key", ("envelope", "signatures"), [signature()["envelope"]["signatures"][0] | {"keyid": public_of(ROOT)}]),
        ("a key of another kind", ("envelope", "signatures"), [signature()["envelope"]["signatures"][0] | {"keyid": "rsa:00"}]),
        ("no signatures", ("envelope", "signatures"), []),
        ("two signatures", ("envelope", "signatures"), signature()["envelope"]["signatures"] * 2),
        ("Base64 of another alphabet", ("envelope", "payload"), "_" + signature()["envelope"]["payload"][1:]),
        ("Base64 without padding", ("envelope", "signatures"), [{"keyid": public_of(ONLINE), "sig": "AA"}]),
        ("a number in the place of text", ("envelope", "payload"), 7),
        ("a lost certificate", ("certificates",), []),
        ("too many certificates", ("certificates",), signature()["certificates"] * 5),
    ):
        made = signature()
        part = made if len(path) == 1 else made[path[0]]
        part[path[-1]] = value
        yield vector(name, made, "SignatureInvalid")
    second_spelling = deepcopy(signature())
    text = second_spelling["certificates"][0]["signatures"][0]["sig"]
    assert text.endswith("==")
    # 64 bytes leave four bits of the last letter without meaning.
    second_spelling["certificates"][0]["signatures"][0]["sig"] = text[:-3] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[text[-3]] + "=="
    yield vector("a second spelling of the same bytes", second_spelling, "SignatureInvalid")
    yield vector("no object", "signed", "SignatureInvalid")


def other_answers() -> Iterator[Vector]:
    yield vector("stripped", None, "SignatureMissing", opens=False)
    yield vector("an old answer", signature(issued=NOW - DAY, expires=NOW), "SignatureExpired", opens=True)
    yield vector("an answer of tomorrow", signature(issued=NOW + LEEWAY_S + 1), "SignatureExpired", opens=True)
    for field, value in {
        "digest": f"sha256:{'d2' * 32}",
        "size": 65537,
        "version": 4,
        "url": f"/v1/artifacts/sha256:{'d2' * 32}",
        "spec": MANIFEST["spec"] | {"widths": {"conv1": 16, "conv2": 31}},
        "labels": ["one", "zéro"],
        "input": MANIFEST["input"] | {"scale": 1.0},
        "cost": MANIFEST["cost"] | {"params": 1},
    }.items():
        yield vector(f"changed on the way: {field}", signature(), "SignatureInvalid", opens=True, **{field: value})
    for name, asked in {
        "another precision": HALF | {"precision": "fp16"},
        "other widths": {"widths": {"conv1": 16, "conv2": 33}},
        "over the budget of parameters": {"budget": {"params": 16999}},
        "over the budget of bytes": {"budget": {"bytes": 65535, "macs": 1900000}},
    }.items():
        yield vector(name, signature(), "SignatureInvalid", opens=True, asked=asked)


def vectors() -> list[Vector]:
    return [*good(), *wrong_authority(), *damaged(), *other_answers()]


def text() -> str:
    return "[\n" + ",\n".join(json.dumps(made, sort_keys=True, ensure_ascii=True) for made in vectors()) + "\n]\n"


def opens(made: Vector) -> bool:
    """The core's verdict on the signature itself."""
    try:
        Bundle.model_validate_json(json.dumps(made["answer"]["signature"])).open(ManifestStatement, frozenset(made["roots"]), made["now"])
    except (SignatureRefused, ValidationError):
        return False
    return True


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
