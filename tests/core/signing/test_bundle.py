"""Who may sign what: every change to what is transmitted, and every wrong right, is refused."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from neumeta_core.errors import SignatureRefused
from neumeta_core.signing.bundle import MAX_BYTES, Bundle, Chain
from neumeta_core.signing.certificate import Certificate
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.envelope import Envelope, seal
from neumeta_core.signing.keys import public_of
from neumeta_core.signing.manifest import ManifestStatement
from neumeta_core.signing.manifold import ManifoldStatement, check_manifold, state_manifold
from neumeta_core.signing.payload import LEEWAY_S, Kind
from pydantic import ValidationError

from tests.core.signing.authority import DAY, NEXT_ROOT, NOW, ONLINE, ROOT, ROOTS, STRANGER, certificate, credentials

STATEMENT = ManifestStatement(manifest={"digest": "sha256:00", "size": 7}, issued=NOW, expires=NOW + DAY)


def opened(bundle: Bundle, *, roots: frozenset[str] = ROOTS, now: float = NOW) -> ManifestStatement:
    """What is left of a bundle after a journey over the wire."""
    return Bundle.model_validate_json(bundle.model_dump_json()).open(ManifestStatement, roots, now)


def test_what_a_certified_key_signed_is_opened() -> None:
    assert opened(credentials().sign(STATEMENT)) == STATEMENT


def test_a_root_needs_no_certificate() -> None:
    assert opened(Credentials(ROOT).sign(STATEMENT)) == STATEMENT


@pytest.mark.parametrize(
    ("signer", "sentence"),
    [
        (Credentials(ONLINE), "no key of the trust root"),
        (Credentials(STRANGER), "no key of the trust root"),
        (credentials(certificate(ONLINE, issuer=STRANGER)), "no key of the trust root"),
        (credentials(certificate(ONLINE, issuer=ONLINE)), "no key of the trust root"),
        (credentials(certificate(STRANGER)), "is for ed25519:.* signed by ed25519:"),
        (credentials(certificate(ONLINE, Kind.MANIFOLD)), "for the purpose manifold; expected manifest"),
        (credentials(certificate(ONLINE, Kind.CERTIFICATE)), "for the purpose certificate; expected manifest"),
        (credentials(certificate(ONLINE, not_after=NOW)), "has expired on 2027-01-15 08:00:00Z"),
        (credentials(certificate(ONLINE, not_before=NOW + LEEWAY_S + 1)), "not valid before 2027-01-15"),
        (credentials(certificate(NEXT_ROOT, Kind.MANIFEST), certificate(ONLINE, issuer=NEXT_ROOT)), "for the purpose manifest; expected certificate"),
        (credentials(certificate(NEXT_ROOT, Kind.CERTIFICATE, not_after=NOW), certificate(ONLINE, issuer=NEXT_ROOT)), "has expired"),
        (credentials(certificate(ONLINE), certificate(STRANGER)), "is for ed25519:"),
    ],
)
def test_who_may_not_sign_is_refused(signer: Credentials, sentence: str) -> None:
    with pytest.raises(SignatureRefused, match=sentence):
        opened(signer.sign(STATEMENT))


@pytest.mark.parametrize(
    "made",
    [
        certificate(ONLINE, not_after=NOW + 1),
        certificate(ONLINE, not_before=NOW),
        certificate(ONLINE, not_before=NOW + LEEWAY_S),
    ],
)
def test_a_certificate_is_valid_between_its_times(made: Envelope) -> None:
    assert opened(credentials(made).sign(STATEMENT)) == STATEMENT


def test_a_chain_over_the_next_root_serves_those_who_trust_either() -> None:
    signer = credentials(certificate(NEXT_ROOT, Kind.CERTIFICATE), certificate(ONLINE, issuer=NEXT_ROOT))
    for root in (ROOT, NEXT_ROOT):
        assert opened(signer.sign(STATEMENT), roots=frozenset([public_of(root)])) == STATEMENT
    with pytest.raises(SignatureRefused):
        opened(signer.sign(STATEMENT), roots=frozenset([public_of(STRANGER)]))


def test_a_chain_has_an_end() -> None:
    with pytest.raises(ValidationError):
        Chain(certificates=(certificate(ONLINE),) * 5)


def test_a_payload_is_never_taken_for_one_of_another_kind() -> None:
    presented = Bundle(envelope=certificate(ONLINE), certificates=())
    with pytest.raises(SignatureRefused, match=r"certificate\.v1\+json'; expected .*manifest\.v1"):
        opened(presented)
    renamed = presented.envelope.model_copy(update={"payload_type": Kind.MANIFEST.payload_type})
    with pytest.raises(SignatureRefused, match="not valid"):
        opened(Bundle(envelope=renamed))
    statement = Credentials(ROOT).sign(STATEMENT).envelope
    with pytest.raises(SignatureRefused, match=r"expected .*certificate"):
        opened(credentials(statement).sign(STATEMENT))


def changed(value: object) -> Iterator[object]:
    """Every JSON value that differs from this one in a single character of a single string, or lacks one part."""
    if isinstance(value, str):
        for place, letter in enumerate(value):
            yield value[:place] + ("A" if letter != "A" else "B") + value[place + 1 :]
        yield value[:-1]
        yield value + "A"
    elif isinstance(value, dict):
        for name, part in value.items():
            yield {other: kept for other, kept in value.items() if other != name}
            yield from ({**value, name: other} for other in changed(part))
        yield {**value, "more": 1}
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield value[:place] + value[place + 1 :]
            yield from ([*value[:place], other, *value[place + 1 :]] for other in changed(part))


def test_an_envelope_has_one_signature() -> None:
    document = json.loads(credentials().sign(STATEMENT).model_dump_json())
    document["envelope"]["signatures"] *= 2
    with pytest.raises(ValidationError):
        Bundle.model_validate_json(json.dumps(document))


def test_no_single_change_goes_through() -> None:
    document = json.loads(credentials().sign(STATEMENT).model_dump_json())
    count = 0
    for other in changed(document):
        with pytest.raises((SignatureRefused, ValidationError)):
            Bundle.model_validate_json(json.dumps(other)).open(ManifestStatement, ROOTS, NOW)
        count += 1
    assert count > 500


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b"{}", b'{"manifest": {}, "issued": "1", "expires": 2}', b'{"manifest": {}, "issued": -1, "expires": 2}']
)
def test_a_signed_payload_must_still_be_one(payload: bytes) -> None:
    kind = Kind.MANIFEST.payload_type
    signature = ROOT.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload))
    document = {
        "envelope": {
            "payload": b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": [{"keyid": public_of(ROOT), "sig": b64encode(signature).decode()}],
        }
    }
    with pytest.raises(SignatureRefused, match="its manifest is not valid"):
        Bundle.model_validate_json(json.dumps(document)).open(ManifestStatement, ROOTS, NOW)


def test_files_are_read_and_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "manifold.safetensors.sig"
    bundle = credentials().sign(STATEMENT)
    path.write_text(bundle.json_text())
    assert Bundle.read(path) == bundle
    for text, sentence in (
        ("", "damaged or something else"),
        ('{"certificates": []}', "envelope: Field required"),
        (" " * (MAX_BYTES + 1), "longer"),
    ):
        path.write_text(text)
        with pytest.raises(SignatureRefused, match=sentence):
            Bundle.read(path)
    with pytest.raises(SignatureRefused, match="No such file"):
        Bundle.read(tmp_path / "missing.sig")


def test_credentials_are_checked_before_they_are_used() -> None:
    signer = credentials()
    signer.check(Kind.MANIFEST, NOW)
    signer.check(Kind.MANIFEST, NOW, ROOTS)
    assert signer.expires == NOW + 30 * DAY
    for roots, purpose, now in (
        (frozenset([public_of(STRANGER)]), Kind.MANIFEST, NOW),
        (None, Kind.MANIFOLD, NOW),
        (None, Kind.MANIFEST, NOW + 30 * DAY),
    ):
        with pytest.raises(SignatureRefused):
            signer.check(purpose, now, roots)
    with pytest.raises(SignatureRefused, match="is for ed25519:"):
        credentials(certificate(STRANGER)).check(Kind.MANIFEST, NOW)


def test_a_manifold_is_what_its_signature_says() -> None:
    data = b"weights"
    signature = Credentials(ROOT).sign(state_manifold(data, "tiny", 2, now=NOW))
    stated = check_manifold(data, "tiny", 2, signature, ROOTS, NOW)
    assert stated == ManifoldStatement(name="tiny", version=2, sha256=hashlib.sha256(data).hexdigest(), size=7, signed_at=NOW)
    for other, name, version, sentence in (
        (b"weighty", "tiny", 2, "of other bytes"),
        (b"weights!", "tiny", 2, "of other bytes"),
        (data, "tiny", 3, "of tiny version 2; expected tiny version 3"),
        (data, "tine", 2, "expected tine"),
    ):
        with pytest.raises(SignatureRefused, match=sentence):
            check_manifold(other, name, version, signature, ROOTS, NOW)
    with pytest.raises(SignatureRefused, match="of other bytes"):
        check_manifold(data, "tiny", 2, Credentials(ROOT).sign(stated.model_copy(update={"size": 8})), ROOTS, NOW)
    with pytest.raises(SignatureRefused, match="no key of the trust root"):
        check_manifold(data, "tiny", 2, Credentials(STRANGER).sign(state_manifold(data, "tiny", 2, now=NOW)), ROOTS, NOW)


def test_an_unknown_field_of_a_payload_is_for_newer_readers() -> None:
    made = NewerCertificate(key=public_of(ONLINE), purpose=Kind.MANIFEST, not_before=0, not_after=NOW + DAY, serial="0f" * 16, note="x")
    assert opened(credentials(seal(made, ROOT)).sign(STATEMENT)) == STATEMENT


class NewerCertificate(Certificate):
    note: str
