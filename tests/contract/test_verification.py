"""The real client with a trust root against the real service: what it takes, and the faults that it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from neumeta_client import (
    AsyncClient,
    CertificateExpired,
    Client,
    IntegrityError,
    ModelRefused,
    Offline,
    RollbackRefused,
    SignatureExpired,
    SignatureInvalid,
    SignatureMissing,
    TrustRoot,
    VerificationError,
)
from neumeta_core.signing.keys import public_of
from neumeta_core.signing.payload import Kind

from tests.core.signing.authority import DAY, NEXT_ROOT, NOW, ONLINE, ROOT, STRANGER, certificate
from tests.service.serving import live, tiny_app
from tests.service.signed import Clock, SignedFolder

Change = Callable[[bytes], bytes]


class Meddler(httpx.BaseTransport):
    """Somebody between client and service: keeps every answer, and changes those to POST."""

    def __init__(self, change: Change = lambda body: body) -> None:
        self.change = change
        self.answers: list[bytes] = []
        self._real = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._real.handle_request(request)
        body = answer.read()
        if request.method == "POST":
            body = self.change(body)
            self.answers.append(body)
        return httpx.Response(answer.status_code, headers={"content-type": answer.headers["content-type"]}, content=body)

    def close(self) -> None:
        self._real.close()


@pytest.fixture
def signed(tmp_path: Path) -> SignedFolder:
    folder = tmp_path / "service"
    folder.mkdir()
    made = SignedFolder(folder, Clock())
    made.add()
    return made


@pytest.fixture
def pull(signed: SignedFolder, tmp_path: Path) -> Callable[..., str]:
    """Pulls the half network from an app and returns its digest."""

    def pull(app: FastAPI, *, key: str = public_of(ROOT), transport: Meddler | None = None, **selection: Any) -> str:
        root = TrustRoot(frozenset([key]), clock=signed.clock)
        with live(app) as url, Client(url, cache=tmp_path / "cache", trust_root=root, transport=transport) as client:
            return client.pull("tiny", **(selection or {"compression": 0.5})).digest

    return pull


def blobs(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache" / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "selection", [{"compression": 0.5}, {"widths": {"conv1": 5, "conv2": 7}, "precision": "int8"}, {"budget": {"params": 700}}], ids=str
)
def test_a_signed_network_is_pulled(signed, pull, tmp_path, selection):
    digest = pull(signed.app(), **selection)
    assert blobs(tmp_path) == [f"{digest[7:]}.onnx"]


@pytest.mark.anyio
async def test_the_client_that_awaits_verifies_too(signed, tmp_path):
    root = TrustRoot(frozenset([public_of(STRANGER)]), clock=signed.clock)
    with live(signed.app()) as url:
        async with AsyncClient(url, cache=tmp_path, trust_root=root) as client:
            with pytest.raises(SignatureInvalid):
                await client.pull("tiny", compression=0.5)


def test_stripped(signed, pull, tmp_path):
    def strip(body: bytes) -> bytes:
        return json.dumps({name: value for name, value in json.loads(body).items() if name != "signature"}).encode()

    for app, transport in ((signed.app(), Meddler(strip)), (signed.app(signing_key=None, signing_certificate=None), None)):
        with pytest.raises(SignatureMissing):
            pull(app, transport=transport)
    assert blobs(tmp_path) == []


def test_a_replayed_old_version(signed, pull, tmp_path):
    old = Meddler()
    pull(signed.app(), transport=old)
    signed.add(2, seed=2)
    newer = pull(signed.app())
    before = blobs(tmp_path)
    with pytest.raises(RollbackRefused, match="version 1 of tiny; version 2 was seen"):
        pull(signed.app(), transport=Meddler(lambda _: old.answers[0]))
    (signed.models / "tiny" / "2" / "manifold.safetensors").unlink()
    with pytest.raises(RollbackRefused):
        pull(signed.app())
    assert blobs(tmp_path) == before
    signed.add(2, seed=2)
    assert pull(signed.app()) == newer


def test_an_answer_of_long_ago(signed, pull):
    old = Meddler()
    digest = pull(signed.app(), transport=old)
    signed.clock.now += DAY
    with pytest.raises(SignatureExpired):
        pull(signed.app(), transport=Meddler(lambda _: old.answers[0]))
    assert pull(signed.app()) == digest, "the service has signed it anew"


def test_a_certificate_that_expires_while_the_service_runs(signed, pull, tmp_path):
    app = signed.app()
    signed.clock.now = NOW + 30 * DAY
    with pytest.raises(CertificateExpired):
        pull(app)
    assert blobs(tmp_path) == []
    signed.install(ONLINE, certificate(ONLINE, not_before=NOW, not_after=NOW + 60 * DAY))
    pull(signed.app())


def test_the_wrong_key(signed, pull, tmp_path):
    with pytest.raises(SignatureInvalid, match="no key of the trust root"):
        pull(signed.app(), key=public_of(STRANGER))
    signed.install(STRANGER, certificate(STRANGER, issuer=STRANGER))
    with pytest.raises(SignatureInvalid, match="no key of the trust root"):
        pull(signed.app(trust_root=None))
    assert blobs(tmp_path) == []


def test_a_manifold_of_the_wrong_key_is_not_served_to_anyone(signed, pull):
    signed.trust_root.write_text(public_of(NEXT_ROOT))
    with pytest.raises(ModelRefused, match="its signature is refused"):
        pull(signed.app(signing_key=None, signing_certificate=None))


@pytest.mark.parametrize("field", ["digest", "size", "url", "labels", "input", "spec", "cost", "version", "filename"])
def test_changed_on_the_way(signed, pull, tmp_path, field):
    other = Meddler()
    pull(signed.app(), transport=other, compression=0.25)
    served = blobs(tmp_path)
    replacement = {"labels": ["two", "one", "zero"], "version": 7}

    def mix(body: bytes) -> bytes:
        document, before = json.loads(body), json.loads(other.answers[0])
        document[field] = replacement.get(field, document[field] | {"scale": 1.0} if field == "input" else before[field])
        return json.dumps(document).encode()

    with pytest.raises(SignatureInvalid, match="not the one that was signed"):
        pull(signed.app(), transport=Meddler(mix))
    assert blobs(tmp_path) == served


def test_another_member_than_the_one_that_was_asked_for(signed, pull):
    other = Meddler()
    pull(signed.app(), transport=other, widths={"conv1": 8, "conv2": 12})
    for selection in ({"widths": {"conv1": 5, "conv2": 7}}, {"budget": {"params": 700}}, {"compression": 0.5, "precision": "fp16"}):
        with pytest.raises(SignatureInvalid, match="another member"):
            pull(signed.app(), transport=Meddler(lambda _: other.answers[0]), **selection)


def test_other_bytes_than_those_that_were_signed(signed, pull, tmp_path):
    class Replaced(Meddler):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            return httpx.Response(200, content=b"x" * len(answer.content)) if request.method == "GET" else answer

    with pytest.raises(IntegrityError):
        pull(signed.app(), transport=Replaced())
    assert blobs(tmp_path) == []


def test_the_root_is_rotated_without_a_gap(signed, pull):
    digest = pull(signed.app())
    signed.install(ONLINE, certificate(NEXT_ROOT, Kind.CERTIFICATE), certificate(ONLINE, issuer=NEXT_ROOT))
    for root in (ROOT, NEXT_ROOT):
        assert pull(signed.app(), key=public_of(root)) == digest
    signed.trust_root.write_text(f"{public_of(ROOT)}\n{public_of(NEXT_ROOT)}\n")
    signed.install(ONLINE, certificate(ONLINE, issuer=NEXT_ROOT))
    assert pull(signed.app(), key=public_of(NEXT_ROOT)) == digest
    with pytest.raises(VerificationError):
        pull(signed.app(), key=public_of(ROOT))


def test_without_a_trust_root_nothing_changes(signed, tmp_path):
    digests = []
    for number, app in enumerate((signed.app(), tiny_app(signed.models))):
        with live(app) as url, Client(url, cache=tmp_path / str(number)) as client:
            digests.append(client.pull("tiny", compression=0.5).digest)
        assert not (tmp_path / str(number) / "seen").exists()
    assert len(set(digests)) == 1


def kept(signed: SignedFolder, tmp_path: Path, url: str, *, key: str = public_of(ROOT)) -> str:
    """What a client of this service that may not ask it finds in its cache."""
    root = TrustRoot(frozenset([key]), clock=signed.clock)
    with Client(url, cache=tmp_path / "cache", trust_root=root, offline=True) as client:
        return client.pull("tiny", compression=0.5).digest


def test_what_was_verified_is_good_offline_after_its_signature_has_expired(signed, tmp_path):
    root = TrustRoot(frozenset([public_of(ROOT)]), clock=signed.clock)
    with live(signed.app()) as url, Client(url, cache=tmp_path / "cache", trust_root=root) as client:
        digest = client.pull("tiny", compression=0.5).digest
    signed.clock.now = NOW + 400 * DAY
    assert kept(signed, tmp_path, url) == digest


def test_what_was_kept_is_verified(signed, tmp_path):
    root = TrustRoot(frozenset([public_of(ROOT)]), clock=signed.clock)
    with live(signed.app()) as url, Client(url, cache=tmp_path / "cache", trust_root=root) as client:
        client.pull("tiny", compression=0.5)
    with pytest.raises(SignatureInvalid):
        kept(signed, tmp_path, url, key=public_of(STRANGER))
    for ref in (tmp_path / "cache" / "refs" / "tiny").iterdir():
        ref.write_text(json.dumps({name: value for name, value in json.loads(ref.read_text()).items() if name != "signature"}))
    with pytest.raises(SignatureMissing):
        kept(signed, tmp_path, url)


def test_what_nobody_verified_when_it_came_is_asked_for_anew(signed, tmp_path):
    """Else whoever had stolen an old key could sign for a client without a trust root, and one with it would take that as kept."""
    root = TrustRoot(frozenset([public_of(ROOT)]), clock=signed.clock)
    with live(signed.app()) as url:
        with Client(url, cache=tmp_path / "cache") as client:
            artifact = client.pull("tiny", compression=0.5)
        with Client(url, cache=tmp_path / "cache", trust_root=root, offline=True) as client, pytest.raises(Offline):
            client.verify(artifact.path)
        with pytest.raises(Offline):
            kept(signed, tmp_path, url)
        signed.clock.now += DAY  # The signature that was kept has expired, and the service signs anew.
        with Client(url, cache=tmp_path / "cache", trust_root=root) as client:
            assert client.verify(artifact.path).digest == artifact.digest
            signed.clock.now += 400 * DAY
            with pytest.raises(CertificateExpired):
                client.verify(artifact.path)


class Through(httpx.HTTPTransport):
    """The way to a service that has moved since, which may let no artifact through."""

    def __init__(self, url: str, *, artifacts: bool = True) -> None:
        super().__init__()
        self._place, self._artifacts = httpx.URL(url), artifacts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if "/artifacts/" in request.url.path and not self._artifacts:
            return httpx.Response(503)
        request.url = request.url.copy_with(host=self._place.host, port=self._place.port)
        return super().handle_request(request)


def test_a_new_version_whose_bytes_do_not_come_leaves_the_one_that_was_there(signed, tmp_path):
    def client(url: str, **options: bool) -> Client:
        root = TrustRoot(frozenset([public_of(ROOT)]), clock=signed.clock)
        return Client("http://service", cache=tmp_path / "cache", trust_root=root, transport=Through(url, **options))

    with live(signed.app()) as url, client(url) as before:
        digest = before.pull("tiny", compression=0.5).digest
    signed.add(2, seed=2)
    with live(signed.app()) as url:
        with client(url, artifacts=False) as cut:
            assert cut.manifest("tiny", compression=0.25).version == 2
            assert cut.pull("tiny", compression=0.5).digest == digest
            assert kept(signed, tmp_path, "http://service") == digest
        with client(url) as whole:
            assert whole.pull("tiny", compression=0.5).manifest.version == 2
    assert kept(signed, tmp_path, "http://service") != digest


def test_what_was_kept_is_no_way_back(signed, tmp_path):
    root = TrustRoot(frozenset([public_of(ROOT)]), clock=signed.clock)
    with live(signed.app()) as url, Client(url, cache=tmp_path / "cache", trust_root=root) as client:
        client.pull("tiny", compression=0.5)
    (tmp_path / "cache" / "seen" / "tiny" / "2").touch()
    with pytest.raises(RollbackRefused):
        kept(signed, tmp_path, url)


def test_a_file_is_verified_by_what_was_kept_and_else_by_the_service(signed, tmp_path):
    root, stranger = (TrustRoot(frozenset([public_of(key)]), clock=signed.clock) for key in (ROOT, STRANGER))
    with live(signed.app()) as url:
        with Client(url, cache=tmp_path / "cache", trust_root=root) as client:
            artifact = client.pull("tiny", compression=0.5)
            moved = artifact.save(tmp_path / "moved.onnx")
        with Client(url, cache=tmp_path / "cache", trust_root=root, offline=True) as client:
            assert client.verify(moved).digest == artifact.digest
        with Client(url, cache=tmp_path / "empty", trust_root=root) as client:
            assert client.verify(moved).spec == artifact.manifest.spec
        with Client(url, cache=tmp_path / "empty", trust_root=stranger) as client, pytest.raises(SignatureInvalid):
            client.verify(moved)
        moved.write_bytes(moved.read_bytes() + b"!")
        with Client(url, cache=tmp_path / "cache", trust_root=root) as client, pytest.raises(IntegrityError, match="Nothing names"):
            client.verify(moved)


def test_a_signature_of_another_artifact_vouches_for_none(signed, tmp_path):
    root = TrustRoot(frozenset([public_of(ROOT)]), clock=signed.clock)
    with live(signed.app()) as url:
        with Client(url, cache=tmp_path / "cache", trust_root=root) as client:
            other, artifact = (client.pull("tiny", compression=compression) for compression in (0, 0.5))
        refs = {path: json.loads(path.read_text()) for path in (tmp_path / "cache" / "refs" / "tiny").iterdir()}
        [signature] = {json.dumps(kept["signature"]) for kept in refs.values() if kept["digest"] == other.digest}
        for path, kept in refs.items():
            if kept["digest"] == artifact.digest:
                path.write_text(json.dumps({**kept, "signature": json.loads(signature)}))
        with (
            Client(url, cache=tmp_path / "cache", trust_root=root, offline=True) as client,
            pytest.raises(SignatureInvalid, match="The signature is of"),
        ):
            client.verify(artifact.path)
        # The service has the right one.
        with Client(url, cache=tmp_path / "cache", trust_root=root) as client:
            assert client.verify(artifact.path).digest == artifact.digest
