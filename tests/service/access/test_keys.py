"""API keys: what the file holds, what it gives, and what is wrong with it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from neumeta_service.access.keys import new_token, read_key_ring, read_keys, write_keys
from neumeta_service.settings import SettingsError

from tests.service.access.tokens import FAR, add_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_token_finds_its_caller(file: Path) -> None:
    token, other = add_key(file, "read", expires=FAR, rate="5/minute"), add_key(file, "admin")
    ring = read_key_ring(file)
    caller = ring.find(token)
    assert caller is not None
    assert (caller.identity, caller.scopes, caller.expires_at, str(caller.rate)) == (f"key:{token[3:11]}", {"read"}, FAR, "5 per 1 minute")
    assert ring.find(other) != caller


def test_nothing_else_does(file: Path) -> None:
    token, other = add_key(file), add_key(file)
    mixed = token[:12] + other[12:]
    last = "0" if token[-1] != "0" else "1"
    ring = read_key_ring(file)
    for wrong in (mixed, token[:-1] + last, token[:-1], token + "0", token.upper(), f" {token}", f"{token}\n", "", "nm_", new_token()[0]):
        assert ring.find(wrong) is None, wrong


def test_tokens_have_256_bits_of_their_own() -> None:
    tokens = {new_token()[0] for _ in range(100)}
    assert len({token.rpartition("_")[2] for token in tokens}) == 100
    assert {len(bytes.fromhex(token.rpartition("_")[2])) for token in tokens} == {32}


def test_the_file_holds_no_token_and_is_its_owners_alone(file: Path) -> None:
    file.write_text('{"keys": []}')
    file.chmod(0o666)
    token = add_key(file)
    assert token.rpartition("_")[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_cannot_be_written_stays_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_key(file)
    before = file.read_bytes()

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="full"):
        write_keys(file, [])
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sha256": "s3cret"}, r"keys\.0\.sha256: .*pattern"),
        ({"id": "../../etc"}, r"keys\.0\.id: .*pattern"),
        ({"scopes": ["root"]}, r"keys\.0\.scopes\.0: .*'read', 'materialize', 'profile' or 'admin'"),
        ({"scopes": []}, r"keys\.0\.scopes"),
        ({"expires": "2030-01-01T00:00:00"}, r"keys\.0\.expires: .*timezone"),
        ({"rate": "often"}, r"keys\.0\.rate"),
        ({"token": "s3cret"}, r"keys\.0\.token: Extra"),
    ],
)
def test_a_wrong_file_is_a_sentence_without_what_it_holds(file: Path, change: dict[str, object], sentence: str) -> None:
    add_key(file)
    document = json.loads(file.read_text())
    document["keys"][0] |= change
    file.write_text(json.dumps(document))
    with pytest.raises(SettingsError, match=sentence) as caught:
        read_keys(file)
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"keys": 5}', "{", "\xff"])
def test_a_file_of_something_else_is_refused(file: Path, text: str) -> None:
    file.write_text(text, encoding="latin-1")
    with pytest.raises(SettingsError, match="is not valid"):
        read_keys(file)


def test_two_keys_of_one_id_are_refused(file: Path) -> None:
    add_key(file)
    write_keys(file, [*read_keys(file), *read_keys(file)])
    with pytest.raises(SettingsError, match="same id"):
        read_keys(file)


def test_a_missing_file_says_how_to_make_one(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: No such file or directory; `neumeta-service api-keys new`"):
        read_keys(file)
