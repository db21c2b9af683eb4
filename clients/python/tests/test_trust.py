from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from neumeta_client import AsyncClient, CacheError, Client, IntegrityError, InvalidRequest, RollbackRefused, SignatureMissing, TrustRoot
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


def test_versions_never_go_back(tmp_path):
    seen = SeenVersions(tmp_path / "seen")
    for version in (1, 3, 3, 10):
        seen.accept("one", version)
    for version in (9, 2):
        with pytest.raises(RollbackRefused, match=f"version {version} of one; version 10"):
            SeenVersions(tmp_path / "seen").accept("one", version)
    seen.accept("two", 1)
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
    SeenVersions(tmp_path).accept("one", 2)


def test_many_at_once_keep_the_highest(tmp_path):
    def accept(version: int) -> None:
        with suppress(RollbackRefused):
            SeenVersions(tmp_path).accept("one", version)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(accept, [7, 3, 12, 5, 11, 2, 12, 9] * 8))
    with pytest.raises(RollbackRefused, match="version 12 was seen"):
        SeenVersions(tmp_path).accept("one", 11)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "seen").write_text("a file")
    with pytest.raises(CacheError):
        SeenVersions(tmp_path / "seen").accept("one", 1)


def test_a_download_of_another_announced_size_is_refused_before_its_first_byte(client, service, files):
    def announce(handler, _):
        handler.begin(200, "application/octet-stream", 10**12)
        handler.close_connection = True

    service.on("artifact", announce, announce)
    with pytest.raises(IntegrityError, match="announces 1000000000000 bytes"):
        client.pull("lenet-mnist", compression=0.5)
    assert files() == []
