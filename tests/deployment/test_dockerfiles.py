from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deployment.files import DOCKERFILES, ROOT, SERVICE_DOCKERFILE, Instruction, instructions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALLOWED = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
NO_CODE = {"pyproject.toml", "constraints.txt"}

each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)


def copied(step: Instruction) -> set[str]:
    """What a COPY takes from the build context."""
    return set(step.value.split()[:-1]) if step.name == "COPY" else set()


def test_the_service_and_the_trainer_have_one() -> None:
    assert [path.name for path in DOCKERFILES] == ["service.Dockerfile", "trainer.Dockerfile"]


@each_dockerfile
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert hadolint is not None, "hadolint is not installed; `make test` installs it."
    linted = subprocess.run([hadolint, str(dockerfile)], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@each_dockerfile
def test_every_base_image_has_a_version(dockerfile: Path) -> None:
    bases = [step.value.split()[0] for step in instructions(dockerfile, "FROM")]
    outside = [base for base in bases if not base.startswith("base-")]
    assert outside
    for base in outside:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\S*", base), base


@each_dockerfile
def test_dependencies_are_installed_before_any_code_is_copied(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    dependencies = next(place for place, step in enumerate(steps) if step.name == "RUN" and "--only-deps" in step.value)
    project = next(place for place, step in enumerate(steps) if step.name == "RUN" and "--only-deps" not in step.value and '".[' in step.value)
    code = [place for place, step in enumerate(steps) if copied(step) - NO_CODE]
    assert dependencies < min(code)
    assert max(code) < project


@each_dockerfile
def test_both_installs_name_the_same_extras_and_the_tested_versions(dockerfile: Path) -> None:
    runs = " ".join(step.value for step in instructions(dockerfile, "RUN"))
    first, second = re.findall(r'"\.\[(.*?)\]"', runs)
    assert first == second
    for extra in first.replace("${VARIANT}", "cpu").split(","):
        assert extra in PROJECT["optional-dependencies"]
    assert runs.count("pip install --constraint constraints.txt") == 3


@each_dockerfile
def test_what_is_copied_exists_and_is_let_through_by_dockerignore(dockerfile: Path) -> None:
    sources = set().union(*(copied(step) for step in instructions(dockerfile)))
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in ALLOWED, source


def test_dockerignore_lets_nothing_else_through() -> None:
    used = {source for dockerfile in DOCKERFILES for step in instructions(dockerfile) for source in copied(step)}
    assert set(ALLOWED) == used


@each_dockerfile
def test_it_ends_as_a_user_that_is_not_root(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    user = max(place for place, step in enumerate(steps) if step.name == "USER")
    assert steps[user].value == "10001:10001"
    assert all(step.name not in ("RUN", "COPY", "ADD") for step in steps[user:])


@each_dockerfile
def test_it_starts_a_command_of_the_project_without_a_shell(dockerfile: Path) -> None:
    command = [word for step in instructions(dockerfile, "ENTRYPOINT", "CMD") for word in step.exec_form()]
    assert command[0] in PROJECT["scripts"]


def test_the_service_has_a_cpu_and_a_gpu_variant() -> None:
    stages = [step.value for step in instructions(SERVICE_DOCKERFILE, "FROM")]
    assert [stage.split(" AS ")[-1] for stage in stages] == ["base-cpu", "base-gpu", "base-${VARIANT}"]
    assert stages[1].startswith("nvidia/cuda:")
    assert {"cpu", "gpu"} <= PROJECT["optional-dependencies"].keys()


def test_the_service_stops_on_sigterm() -> None:
    assert [step.value for step in instructions(SERVICE_DOCKERFILE, "STOPSIGNAL")] == ["SIGTERM"]
