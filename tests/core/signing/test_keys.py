from __future__ import annotations

import errno
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from neumeta_core.errors import KeyRefused
from neumeta_core.signing.keys import is_encrypted, is_signed_by, new_key, public_of, read_key, write_key
from neumeta_core.signing.roots import read_roots

from tests.core.signing.authority import NEXT_ROOT, ROOT


def test_the_first_vector_of_rfc_8032() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert public_of(key) == "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert is_signed_by(public_of(key), key.sign(b""), b"")
    assert not is_signed_by(public_of(key), key.sign(b""), b"x")
    assert not is_signed_by(public_of(ROOT), key.sign(b""), b"")


@pytest.mark.parametrize("passphrase", [None, "a secret"])
def test_a_written_key_is_read_again_and_belongs_to_its_owner_alone(tmp_path: Path, passphrase: str | None) -> None:
    key, path = new_key(), tmp_path / "keys" / "root.pem"
    write_key(path, key, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_encrypted(path) is (passphrase is not None)
    assert public_of(read_key(path, passphrase)) == public_of(key)


def test_a_passphrase_is_not_used_for_a_file_that_needs_none(tmp_path: Path) -> None:
    write_key(tmp_path / "open.pem", ROOT)
    assert public_of(read_key(tmp_path / "open.pem", "a secret of another file")) == public_of(ROOT)


def test_a_private_key_is_never_overwritten(tmp_path: Path) -> None:
    write_key(tmp_path / "root.pem", ROOT)
    with pytest.raises(KeyRefused, match="never overwritten"):
        write_key(tmp_path / "root.pem", NEXT_ROOT)
    assert public_of(read_key(tmp_path / "root.pem")) == public_of(ROOT)


def test_a_key_that_could_not_be_written_whole_leaves_its_name_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_key(tmp_path / "root.pem", ROOT)
    write_key(tmp_path / "root.pem", ROOT)
    assert public_of(read_key(tmp_path / "root.pem")) == public_of(ROOT)


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    write_key(tmp_path / "locked.pem", ROOT, "a secret")
    (tmp_path / "noise.pem").write_bytes(b"noise")
    (tmp_path / "other.pem").write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for name, passphrase, sentence in (
        ("locked.pem", None, "its passphrase is needed"),
        ("locked.pem", "wrong", "the passphrase does not open it"),
        ("noise.pem", None, "no private key"),
        ("other.pem", None, "expected Ed25519"),
        ("missing.pem", None, "No such file"),
    ):
        with pytest.raises(KeyRefused, match=sentence):
            read_key(tmp_path / name, passphrase)


def test_a_trust_root_is_lines(tmp_path: Path) -> None:
    path = tmp_path / "roots"
    path.write_text(f"# roots of 2026\n{public_of(ROOT)}  # vault\n\n  {public_of(NEXT_ROOT)}\n")
    assert read_roots(path) == {public_of(ROOT), public_of(NEXT_ROOT)}
    for text in ("", "# nothing\n", "ed25519:00\n", public_of(ROOT).upper(), f"{public_of(ROOT)} {public_of(NEXT_ROOT)}"):
        path.write_text(text)
        with pytest.raises(KeyRefused, match="expected public keys"):
            read_roots(path)
    path.write_bytes(b"\xff")
    with pytest.raises(KeyRefused, match="no text"):
        read_roots(path)
    with pytest.raises(KeyRefused, match="No such file"):
        read_roots(tmp_path / "missing")
