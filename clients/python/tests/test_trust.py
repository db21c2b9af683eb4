from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from neumeta_client import (
    AsyncClient,
    CacheError,
    Client,
    IntegrityError,
    InvalidRequest,
    Offline,
    RollbackRefused,
    SignatureInvalid,
    SignatureMissing,
    TrustRoot,
)
from neumeta_client._trust.seen import SeenVersions

KEY, OTHER = f"ed25519:{'0a' * 32}", f"ed25519:{'0b' * 32}"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv("NEUMETA_CLIENT_TRUST_ROOT", raising=False)


def test_a_trust_root_is_a_key_or_a_file_of_them(tmp_path):
    path = tmp_path / "root.pub"
    path.write_text(f"# ours\n{KEY}  # vault\n\n{OTHER}\n")
    assert TrustRoot.of(KEY).keys == {KEY}
    assert TrustRoot.of(path).keys == TrustRoot.of(str(path)).keys == {KEY, OTHER}
    root = TrustRoot(frozenset([KEY]))
    assert TrustRoot.of(root) is root


@pytest.mark.parametrize("text", ["", "# nothing\n", "ed25519:00\n", f"{KEY.upper()}\n", f"{KEY} {OTHER}\n", "rsa:1\n"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_bad_trust_root_is_refused(tmp_path, kind, text):
    path = tmp_path / "root.pub"
    path.write_text(text)
    for root in (path, str(path), tmp_path / "missing", text.strip() if text.startswith("ed") else path):
        with pytest.raises(InvalidRequest, match="trust_root"):
            kind("http://host", trust_root=root)


@pytest.mark.parametrize("root", ["", Path()], ids=["text", "path"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_empty_trust_root_is_refused(tmp_path, kind, root):
    with pytest.raises(InvalidRequest, match="trust_root"):
        kind("http://host", cache=tmp_path, trust_root=root)


def test_the_trust_root_comes_from_the_environment(call, service, cache, monkeypatch):
    monkeypatch.setenv("NEUMETA_CLIENT_TRUST_ROOT", KEY)
    with pytest.raises(SignatureMissing, match="lenet-mnist is not signed"):
        call(url=service.url, cache=cache).pull("lenet-mnist", compression=0.5)
    monkeypatch.setenv("NEUMETA_CLIENT_TRUST_ROOT", "")
    assert call(url=service.url, cache=cache).pull("lenet-mnist", compression=0.5)


def test_a_missing_signature_downloads_nothing(call, service, cache, files):
    with pytest.raises(SignatureMissing):
        call(url=service.url, cache=cache, trust_root=KEY).pull("lenet-mnist", compression=0.5)
    assert service.count("artifact") == 0
    assert files() == []


def test_without_the_extra_a_trust_root_says_which(tmp_path):
    script = f"""
import sys
sys.modules["cryptography"] = None
from neumeta_client import Client, MissingExtra
Client("http://host", cache={str(tmp_path)!r})
try:
    Client("http://host", trust_root={KEY!r})
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert "neumeta-client[verify]" in done.stdout, done.stderr


OURS, STRANGERS = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))


def public_of(key: Ed25519PrivateKey) -> str:
    return f"ed25519:{key.public_key().public_bytes_raw().hex()}"


def signed(manifest: dict[str, object], key: Ed25519PrivateKey) -> dict[str, object]:
    """A manifest as the service sends it when a root itself has signed it (docs/signing.md)."""
    kind = "application/vnd.neumeta.manifest.v1+json"
    payload = json.dumps({"manifest": manifest, "issued": 1_800_000_000, "expires": 1_800_003_600}).encode()
    signature = key.sign(b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload))
    signatures = [{"keyid": public_of(key), "sig": b64encode(signature).decode()}]
    envelope = {"payload": b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}
    return {**manifest, "signature": {"envelope": envelope, "certificates": []}}


@pytest.fixture
def refs(client, service, cache):
    """An artifact that three manifests name, kept as verified though none is signed, and their files in the order in which they are read."""
    service.make = lambda _: b"one for all sizes"
    artifact, *_ = [client.pull("lenet-mnist", compression=compression) for compression in (0.1, 0.2, 0.3)]
    for path in (cache / "refs").glob("*/*.json"):
        path.rename(path.with_suffix(".verified.json"))
    return artifact, list((cache / "refs").glob("*/*.json"))


@pytest.mark.parametrize("position", range(3))
def test_a_good_signature_is_found_among_others(call, service, cache, refs, position):
    artifact, paths = refs
    good = paths.pop(position)
    good.write_text(json.dumps(signed(json.loads(good.read_text()), OURS)))
    paths[0].write_text(json.dumps(signed(json.loads(paths[0].read_text()), STRANGERS)))
    sent = len(service.requests)
    assert call(url=service.url, cache=cache, trust_root=public_of(OURS)).verify(artifact.path).digest == artifact.digest
    assert len(service.requests) == sent


def test_when_no_kept_signature_verifies_the_first_says_why(call, service, cache, refs):
    artifact, paths = refs
    for path in paths:
        path.write_text(json.dumps(signed(json.loads(path.read_text()), STRANGERS)))
    with pytest.raises(SignatureInvalid, match="no key of the trust root"):
        call(url=service.url, cache=cache, trust_root=public_of(OURS)).verify(artifact.path)


def test_what_a_root_signed_that_is_no_more_is_asked_for_anew(call, service, cache, refs):
    artifact, paths = refs
    told = json.loads(paths[0].read_text())
    for path in paths:
        path.write_text(json.dumps(signed(told, STRANGERS)))
    service.on("artifact", service.reply(200, "application/json", json.dumps(signed(told, OURS)["signature"]).encode()))
    options = {"url": service.url, "cache": cache, "trust_root": TrustRoot(frozenset([public_of(OURS)]), clock=lambda: 1_800_000_100)}
    with pytest.raises(SignatureInvalid, match="no key of the trust root"):
        call(**options, offline=True).verify(artifact.path)
    assert call(**options).verify(artifact.path).digest == artifact.digest


def test_bytes_that_the_service_does_not_know_are_named_by_nothing(call, service, cache, tmp_path):
    (tmp_path / "changed.onnx").write_bytes(b"changed")
    service.on("artifact", service.problem("artifact_gone", 404))
    with pytest.raises(IntegrityError, match=r"Nothing names these bytes: .*changed\.onnx") as caught:
        call(url=service.url, cache=cache, trust_root=public_of(OURS)).verify(tmp_path / "changed.onnx")
    assert type(caught.value) is IntegrityError


def test_on_the_command_line_that_is_the_exit_code_of_wrong_bytes(run, service, tmp_path):
    (tmp_path / "changed.onnx").write_bytes(b"changed")
    service.on("artifact", service.problem("artifact_gone", 404))
    code, out, err = run("verify", str(tmp_path / "changed.onnx"), "--trust-root", public_of(OURS))
    assert (code, out, "Nothing names these bytes" in err) == (3, "", True)


def test_versions_never_go_back(tmp_path):
    seen = SeenVersions(tmp_path / "seen")
    for version in (1, 3, 3, 10, 9):
        seen.remember("one", version)
    for version in (9, 2):
        with pytest.raises(RollbackRefused, match=f"version {version} of one; version 10"):
            SeenVersions(tmp_path / "seen").check("one", version)
    seen.check("one", 10)
    seen.remember("two", 1)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        "seen/one/1",
        "seen/one/10",
        "seen/one/3",
        "seen/two/1",
    ]


def test_what_others_put_there_is_passed_over(tmp_path):
    (tmp_path / "one").mkdir()
    for name in ("notes.txt", "-7", "9" * 200):
        (tmp_path / "one" / name).touch()
    SeenVersions(tmp_path).check("one", 2)


def test_many_at_once_keep_the_highest(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda version: SeenVersions(tmp_path).remember("one", version), [7, 3, 12, 5, 11, 2, 12, 9] * 8))
    with pytest.raises(RollbackRefused, match="version 12 was seen"):
        SeenVersions(tmp_path).check("one", 11)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "seen").write_text("a file")
    with pytest.raises(CacheError):
        SeenVersions(tmp_path / "seen").remember("one", 1)


def test_a_download_of_another_announced_size_is_refused_before_its_first_byte(client, service, files):
    def announce(handler, _):
        handler.begin(200, "application/octet-stream", 10**12)
        handler.close_connection = True

    service.on("artifact", announce, announce)
    with pytest.raises(IntegrityError, match="announces 1000000000000 bytes"):
        client.pull("lenet-mnist", compression=0.5)
    assert files() == []


def test_what_was_verified_is_there_by_its_number_for_those_who_verify(call, service, cache):
    def sign(handler, data):
        manifest = json.loads(data)
        told = {**manifest, "compression": {**manifest["compression"], "requested": None}}
        handler.answer(200, "application/json", json.dumps({**manifest, "signature": signed(told, OURS)["signature"]}).encode())

    service.on("materialize", sign)
    root = TrustRoot(frozenset([public_of(OURS)]), clock=lambda: 1_800_000_100)
    pulled = call(url=service.url, cache=cache, trust_root=root).pull("lenet-mnist", compression=0.5)
    options = {"url": service.url, "cache": cache, "offline": True}
    assert call(**options, trust_root=root).pull("lenet-mnist", compression=0.5, version=1).manifest == pulled.manifest
    for stranger in ({}, {"trust_root": TrustRoot(frozenset([public_of(STRANGERS)]))}):
        with pytest.raises((Offline, SignatureInvalid)):
            call(**options, **stranger).pull("lenet-mnist", compression=0.5, version=1)
