"""Imports go one way: service -> core <- trainer; the client imports none of them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "core": ROOT / "core" / "neumeta_core",
    "trainer": ROOT / "trainer" / "neumeta_trainer",
    "service": ROOT / "service" / "neumeta_service",
    "client": ROOT / "clients" / "python" / "src" / "neumeta_client",
}
FORBIDDEN = {
    "core": {"neumeta_trainer", "neumeta_service", "neumeta_client", "fastapi", "starlette", "uvicorn", "redis", "httpx", "torch_pruning"},
    "trainer": {"neumeta_service", "neumeta_client", "fastapi", "starlette", "uvicorn", "redis"},
    "service": {"neumeta_trainer", "neumeta_client", "torch_pruning", "matplotlib", "sklearn"},
    "client": {"neumeta_core", "neumeta_trainer", "neumeta_service", "torch", "onnx", "safetensors", "fastapi", "pydantic", "redis"},
}
CORE_NEEDS = {"neumeta_core", "numpy", "onnx", "pydantic", "safetensors", "torch"}


def imports(folder: Path) -> dict[str, set[str]]:
    """Top-level module -> files that import it, wherever in the file."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path} imports relatively"
                names = [node.module or ""]
            for name in names:
                found.setdefault(name.split(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_go_one_way(package: str) -> None:
    found = imports(FOLDERS[package])
    assert "__future__" in found, "the package is not where this test looks"
    assert {name: found[name] for name in FORBIDDEN[package] & found.keys()} == {}


def test_the_core_needs_what_the_distribution_says() -> None:
    found = imports(FOLDERS["core"])
    assert found.keys() - sys.stdlib_module_names == CORE_NEEDS | {"cryptography"}
    assert {Path(path).parent.name for path in found["cryptography"]} == {"signing"}, "only the extras bring it"


def test_the_core_works_without_what_signing_needs() -> None:
    """Nothing in the core but the package itself imports ``neumeta_core.signing``."""
    for path in FOLDERS["core"].rglob("*.py"):
        if path.parent.name != "signing":
            assert "neumeta_core.signing" not in path.read_text(), path
