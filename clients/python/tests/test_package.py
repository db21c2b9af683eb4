from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

import neumeta_client
from neumeta_client import Client

ROOT = Path(__file__).parents[1]
HEAVY = [
    "torch",
    "onnx",
    "onnxruntime",
    "fastapi",
    "numpy",
    "pydantic",
    "typer",
    "rich",
    "PIL",
    "matplotlib",
    "cryptography",
    "neumeta_core",
    "neumeta_service",
    "neumeta_trainer",
]

BLOCKED_IMPORT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import neumeta_client
print(*sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""


@pytest.fixture(scope="module")
def project():
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> list[str]:
    return sorted(re.match(r"[A-Za-z0-9._-]+", requirement)[0] for requirement in requirements)


def test_only_light_packages_are_declared(project):
    assert names(project["dependencies"]) == ["httpx", "platformdirs"]
    assert {extra: names(needed) for extra, needed in project["optional-dependencies"].items()} == {
        "plot": ["matplotlib"],
        "run": ["numpy", "onnxruntime", "pillow"],
        "cli": ["rich", "typer"],
        "verify": ["cryptography"],
    }


def test_no_heavy_package_is_reached_through_the_dependencies(project):
    reached, waiting = set(), names(project["dependencies"])
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name not in reached:
            reached.add(name)
            # What an extra asks for is not installed; anything else counts, whatever its marker.
            needed = [text for text in metadata.requires(name) or [] if "extra ==" not in text]
            waiting += [found for found in names(needed) if _installed(found)]
    assert {"httpx", "httpcore", "anyio"} <= reached
    assert not reached & {"torch", "onnx", "onnxruntime", "fastapi", "numpy", "pydantic", "starlette"}


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def test_the_import_needs_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", BLOCKED_IMPORT, *HEAVY], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


KEPT = """
with neumeta_client.Client(sys.argv[-1], cache=sys.argv[-2]) as client:
    assert client.pull("lenet-mnist", compression=0.5, version=1).from_cache
"""


def test_what_sends_is_not_loaded_before_something_is_sent(service, cache):
    """Neither by the import nor by a pull that the cache answers: both take less time than loading it does."""
    with Client(service.url, cache=cache) as client:
        client.pull("lenet-mnist", compression=0.5, version=1)
    command = [sys.executable, "-c", BLOCKED_IMPORT + KEPT, "httpx", "httpcore", "asyncio", "ssl", str(cache), service.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    assert service.count("materialize") == 1


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_command_says_which(missing):
    script = BLOCKED_IMPORT.replace("import neumeta_client\n", "from neumeta_client.__main__ import main\nmain()\n")
    done = subprocess.run([sys.executable, "-c", script, missing], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "neumeta-client[cli]" in done.stderr


def test_all_is_the_public_names():
    public = [name for name, value in vars(neumeta_client).items() if not name.startswith("_") and not isinstance(value, ModuleType)]
    assert neumeta_client.__all__ == sorted([*public, "__version__"])


def test_the_version_is_the_same_everywhere(project):
    assert neumeta_client.__version__ == project["version"]


def test_the_package_is_typed():
    assert Path(neumeta_client.__file__).with_name("py.typed").is_file()
