"""``neumeta keys`` as its users type it."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from neumeta_core.signing.bundle import Bundle, Chain
from neumeta_core.signing.certificate import Certificate
from neumeta_core.signing.keys import is_encrypted, public_of, read_key
from neumeta_core.signing.manifold import ManifoldStatement
from neumeta_core.signing.payload import Kind
from neumeta_core.signing.roots import read_roots
from neumeta_trainer.cli import app
from typer.testing import CliRunner, Result

from tests.tiny import save_tiny

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEUMETA_SIGNING_PASSPHRASE", raising=False)


def keys(*arguments: str, typed: str = "", **environment: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments], input=typed, env=environment)


def done(*arguments: str, **environment: str) -> str:
    result = keys(*arguments, **environment)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str, **environment: str) -> str:
    result = keys(*arguments, **environment)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


@pytest.fixture
def manifold(tmp_path: Path) -> Path:
    """A manifold, a root and an online key."""
    done("new-root", "root.pem")
    done("new-online", "online.pem")
    return save_tiny(tmp_path / "models")


def test_a_new_key_belongs_to_its_owner_and_is_never_overwritten() -> None:
    shown = done("new-root", "vault/root.pem")
    private, public = Path("vault/root.pem"), Path("vault/root.pem.pub")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert read_roots(public) == {public_of(read_key(private))}
    assert public_of(read_key(private)) in shown
    before = private.read_bytes(), public.read_bytes()
    for command in ("new-root", "new-online"):
        assert "never overwritten" in refused(command, "vault/root.pem")
    assert (private.read_bytes(), public.read_bytes()) == before


def test_a_passphrase_comes_from_the_environment_or_is_asked_for() -> None:
    done("new-root", "one.pem", NEUMETA_SIGNING_PASSPHRASE="a secret")
    assert keys("new-root", "two.pem", "--encrypt", typed="a secret\na secret\n").exit_code == 0
    for name in ("one.pem", "two.pem"):
        assert is_encrypted(Path(name))
        assert read_key(Path(name), "a secret")
    done("new-online", "online.pem")
    assert "its passphrase is needed" in refused("certify", "online.pem.pub", "--issuer", "one.pem", "--out", "online.cert")
    wrong = refused("certify", "online.pem.pub", "--issuer", "one.pem", "--out", "online.cert", NEUMETA_SIGNING_PASSPHRASE="s3cret")
    assert "does not open it" in wrong
    assert "s3cret" not in wrong
    done("certify", "online.pem.pub", "--issuer", "one.pem", "--out", "online.cert", NEUMETA_SIGNING_PASSPHRASE="a secret")


@pytest.mark.usefixtures("manifold")
def test_a_certificate_says_who_what_and_until_when() -> None:
    done("certify", "online.pem.pub", "--issuer", "root.pem", "--days", "7", "--out", "online.cert")
    (envelope,) = Chain.read(Path("online.cert")).certificates
    made = envelope.open(Certificate)
    assert {made.key} == read_roots(Path("online.pem.pub"))
    assert (made.purpose, made.not_after - made.not_before) == (Kind.MANIFEST, 7 * DAY)
    assert made.serial in done("show", "online.cert")
    assert "verified" in done("verify", "online.cert", "--trust-root", "root.pem.pub")
    assert "no key of the trust root" in refused("verify", "online.cert", "--trust-root", "online.pem.pub")


def test_a_signed_manifold_is_verified_and_a_changed_one_refused(manifold: Path) -> None:
    done("sign-manifold", str(manifold), "--key", "root.pem")
    signature = Path(f"{manifold}.sig")
    assert Bundle.read(signature).envelope.open(ManifoldStatement).version == 1
    assert "tiny version 1" in done("show", str(signature))
    assert "verified" in done("verify", str(manifold), "--trust-root", "root.pem.pub")
    assert "no key of the trust root" in refused("verify", str(manifold), "--trust-root", "online.pem.pub")
    save_tiny(manifold.parents[2], seed=1)
    assert "of other bytes" in refused("verify", str(manifold), "--trust-root", "root.pem.pub")
    signature.unlink()
    assert "manifold.safetensors.sig cannot be read" in refused("verify", str(manifold), "--trust-root", "root.pem.pub")


def test_a_publisher_signs_what_its_certificate_is_for(manifold: Path) -> None:
    sign = ("sign-manifold", str(manifold), "--key", "online.pem", "--certificate", "publisher.cert")
    certify = ("certify", "online.pem.pub", "--issuer", "root.pem", "--out", "publisher.cert")
    done(*certify)
    assert "for the purpose manifest; expected manifold" in refused(*sign)
    done(*certify, "--for", "manifold")
    done(*sign)
    assert "verified" in done("verify", str(manifold), "--trust-root", "root.pem.pub")
    assert "is for ed25519:" in refused("sign-manifold", str(manifold), "--key", "root.pem", "--certificate", "publisher.cert")


@pytest.mark.usefixtures("manifold")
def test_a_root_hands_over_to_the_next_one() -> None:
    done("new-root", "next.pem")
    done("certify", "next.pem.pub", "--issuer", "root.pem", "--for", "certificate", "--days", "365", "--out", "next.cert")
    by_next = ("certify", "online.pem.pub", "--issuer", "next.pem", "--out", "online.cert")
    done(*by_next, "--issuer-certificate", "next.cert")
    for root in ("root.pem.pub", "next.pem.pub"):
        assert "verified" in done("verify", "online.cert", "--trust-root", root)
    done(*by_next)
    refused("verify", "online.cert", "--trust-root", "root.pem.pub")
    assert "is for ed25519:" in refused("certify", "online.pem.pub", "--issuer", "root.pem", "--issuer-certificate", "next.cert", "--out", "x.cert")


def test_what_cannot_be_used_is_a_sentence(manifold: Path) -> None:
    assert "cannot be read" in refused("certify", "missing.pub", "--issuer", "root.pem", "--out", "x.cert")
    assert "no private key" in refused("certify", "online.pem.pub", "--issuer", "root.pem.pub", "--out", "x.cert")
    Path("two.pub").write_text(Path("root.pem.pub").read_text() + Path("online.pem.pub").read_text())
    assert "holds 2 public keys" in refused("certify", "two.pub", "--issuer", "root.pem", "--out", "x.cert")
    assert "expected public keys" in refused("show", "root.pem")
    assert "PRIVATE" not in done("show", "root.pem.pub")
    manifold.write_bytes(b"noise")
    assert "error:" in refused("sign-manifold", str(manifold), "--key", "root.pem")
    assert not Path("x.cert").exists()


@pytest.mark.parametrize("command", ["new-root", "new-online", "certify", "sign-manifold", "show", "verify"])
def test_help_teaches_by_example(command: str) -> None:
    assert re.search(rf"Example: neumeta keys {command} ", " ".join(done(command, "--help", COLUMNS="200").split()))
