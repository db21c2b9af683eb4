"""The deployment files, parsed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
SERVICE_DOCKERFILE = ROOT / "docker" / "service.Dockerfile"


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
    return document


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str

    def exec_form(self) -> list[str]:
        return [str(word) for word in json.loads(self.value[self.value.index("[") :])]


def instructions(dockerfile: Path, *names: str) -> list[Instruction]:
    """Its instructions of these names, in order; without names all of them."""
    with dockerfile.open("rb") as file:
        steps = [Instruction(step["instruction"], step["value"]) for step in DockerfileParser(fileobj=file).structure]
    return [step for step in steps if step.name != "COMMENT" and (not names or step.name in names)]


def image_environment(dockerfile: Path) -> dict[str, str]:
    with dockerfile.open("rb") as file:
        return dict(DockerfileParser(fileobj=file).envs)


def with_defaults(text: str) -> str:
    """Compose's ``${NAME:-default}`` and ``${NAME-default}`` where no variable is set."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)
