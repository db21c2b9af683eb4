from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from neumeta_service.routes.explorer import FOLDER

from tests.deployment.files import DOCKERFILES, ROOT, SERVICE_DOCKERFILE, Instruction, compose, instructions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALLOWED = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
NO_CODE = {"pyproject.toml", "constraints.txt"}

each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)


def copied(step: Instruction) -> set[str]:
    """What a COPY takes from the build context."""
    return set(step.value.split()[:-1]) if step.name == "COPY" and "--from=" not in step.value else set()


def stages(dockerfile: Path) -> dict[str, list[Instruction]]:
    """The instructions of each stage, by what its FROM says after AS, or else before."""
    found: dict[str, list[Instruction]] = {}
    for step in instructions(dockerfile):
        if step.name == "FROM":
            found[step.value.split(" AS ")[-1]] = []
        elif found:
            found[list(found)[-1]].append(step)
    return found


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
    steps = list(stages(dockerfile).values())[-1]
    dependencies = next(place for place, step in enumerate(steps) if step.name == "RUN" and "--only-deps" in step.value)
    project = next(place for place, step in enumerate(steps) if step.name == "RUN" and "--only-deps" not in step.value and '".[' in step.value)
    code = [place for place, step in enumerate(steps) if copied(step) - NO_CODE]
    assert dependencies < min(code)
    assert max(code) < project


def test_the_page_is_built_by_a_stage_of_its_own_and_copied_before_the_project_is_installed() -> None:
    built = stages(SERVICE_DOCKERFILE)
    page = built["explorer"]
    install, build = (next(place for place, step in enumerate(page) if step.name == "RUN" and verb in step.value) for verb in ("npm ci", "npm run"))
    lists = {f"clients/web/{name}" for name in ("package.json", "package-lock.json", ".npmrc")}
    assert set().union(*(copied(step) for step in page[:install])) == lists
    assert max(place for place, step in enumerate(page) if copied(step)) < build
    image = built["base-${VARIANT}"]
    [taken] = [place for place, step in enumerate(image) if "--from=explorer" in step.value]
    [code] = [place for place, step in enumerate(image) if "service" in copied(step)]
    project = max(place for place, step in enumerate(image) if step.name == "RUN")
    assert code < taken < project


@pytest.mark.skipif(not (ROOT / "clients/web/node_modules").is_dir(), reason="the packages of clients/web are not installed (`make explorer`)")
def test_the_page_can_be_built_from_what_its_stage_copies(tmp_path: Path) -> None:
    page = stages(SERVICE_DOCKERFILE)["explorer"]
    [workdir] = [step.value for step in page if step.name == "WORKDIR"]
    folder = tmp_path / workdir.lstrip("/")
    folder.mkdir(parents=True)
    for source in sorted(set().union(*(copied(step) for step in page))):
        target = folder / Path(source).relative_to("clients/web")
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, target)
    (folder / "node_modules").symlink_to(ROOT / "clients/web/node_modules")
    [build] = [step.value for step in page if step.name == "RUN" and "npm run" in step.value]
    built = subprocess.run(build.split(), cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    [taken] = [step.value.split() for step in stages(SERVICE_DOCKERFILE)["base-${VARIANT}"] if "--from=explorer" in step.value]
    assert (tmp_path / taken[1].lstrip("/") / "index.html").is_file()
    assert taken[2] == str(FOLDER.relative_to(ROOT))


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
    assert command[2 if command[:2] == ["tini", "--"] else 0] in PROJECT["scripts"]


def test_a_signal_reaches_the_service_while_it_starts() -> None:
    """Process 1 gets none that it does not handle yet; importing PyTorch alone takes seconds."""
    [entrypoint] = [step.exec_form() for step in instructions(SERVICE_DOCKERFILE, "ENTRYPOINT")]
    [installed] = [step.value for step in instructions(SERVICE_DOCKERFILE, "RUN") if "apt-get install" in step.value]
    assert entrypoint == ["tini", "--"]
    assert "tini" in installed.split()
    assert not compose()["services"]["service"]["init"]


def test_the_service_has_a_cpu_and_a_gpu_variant() -> None:
    bases = [step.value for step in instructions(SERVICE_DOCKERFILE, "FROM")]
    assert list(stages(SERVICE_DOCKERFILE)) == ["explorer", "base-cpu", "base-gpu", "base-${VARIANT}"]
    assert bases[2].startswith("nvidia/cuda:")
    assert {"cpu", "gpu"} <= PROJECT["optional-dependencies"].keys()


def test_the_service_stops_on_sigterm() -> None:
    assert [step.value for step in instructions(SERVICE_DOCKERFILE, "STOPSIGNAL")] == ["SIGTERM"]
