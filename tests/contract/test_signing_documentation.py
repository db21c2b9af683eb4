"""The commands of docs/signing.md, in their order, and the service and client that they lead to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import neumeta_client
import pytest
from neumeta_client import Client
from neumeta_service.app import create_app
from neumeta_service.settings import Settings
from neumeta_trainer.cli import app
from typer.testing import CliRunner

from tests.service.serving import live
from tests.tiny import save_tiny

PAGE = (Path(__file__).parents[2] / "docs" / "signing.md").read_text()
COMMANDS = re.findall(r"^\$ neumeta (keys .*)$", PAGE, re.MULTILINE)


def test_they_lead_to_networks_that_clients_of_both_roots_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUMETA_SIGNING_PASSPHRASE", "a secret")
    save_tiny(tmp_path / "models", name="lenet-mnist")
    for command in COMMANDS:
        done = CliRunner().invoke(app, shlex.split(command))
        assert done.exit_code == 0, f"{command}: {done.output}"
    settings = {"trust_root": "vault/root.pem.pub", "signing_key": "online.pem", "signing_certificate": "online.cert"}
    assert re.findall(r"NEUMETA_(\w+)=(\S+) ", PAGE) == [(name.upper(), value) for name, value in settings.items()]
    with live(create_app(Settings(models="models", device="cpu", signing_passphrase="a secret", **settings))) as url:
        for root in ("vault/root.pem.pub", "vault/next.pem.pub"):
            with Client(url, cache=tmp_path / "cache", trust_root=root) as client:
                assert client.pull("lenet-mnist", compression=0.5).path.is_file()


def test_every_error_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:Signature|Certificate|Rollback|Integrity)\w+)`", PAGE))
    assert named == {"SignatureMissing", "SignatureInvalid", "SignatureExpired", "CertificateExpired", "RollbackRefused", "IntegrityError"}
    assert all(hasattr(neumeta_client, name) for name in named)
