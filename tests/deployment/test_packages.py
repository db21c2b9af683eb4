"""What `make build` makes: a source distribution, and a wheel of that."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.deployment.files import ROOT

TAKEN = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "constraints.txt", "core", "service", "trainer")
SECRETS = ("docker/access/online.pem", "docker/access/keys.json", "docker/prometheus/token", ".env", "vault/root.pem", "signing/keys.json")


def build(target: str, source: Path, out: Path) -> Path:
    """Run the build backend as a front end does, without its own environment."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", out]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=600)
    [made] = out.iterdir()
    return made


def test_the_wheel_has_the_page_and_neither_has_what_else_lies_in_a_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in TAKEN:
        source, built = ROOT / name, shutil.ignore_patterns("__pycache__", "explorer")
        shutil.copytree(source, checkout / name, ignore=built) if source.is_dir() else shutil.copy(source, checkout / name)
    page = "service/neumeta_service/explorer/index.html"
    for name in (page, *SECRETS):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("made for this test")
    with tarfile.open(build("sdist", checkout, tmp_path / "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert {page, "core/neumeta_core/py.typed", "service/neumeta_service/app.py", "trainer/neumeta_trainer/pipeline.py", "LICENSE"} <= names
    assert not names & set(SECRETS)
    [unpacked] = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(build("wheel", unpacked, tmp_path / "wheel")) as wheel:
        files = set(wheel.namelist())
    assert {"neumeta_service/explorer/index.html", "neumeta_core/py.typed", "neumeta_trainer/pipeline.py"} <= files
    assert {name.partition("/")[0] for name in files if ".dist-info/" not in name} == {"neumeta_core", "neumeta_service", "neumeta_trainer"}
