"""`make sbom` and `make audit`, as far as they go without a network: over a small environment, and a database on this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.files import ROOT
from tests.service.redis_server import free_port

PACKAGES = {"sound": "1.0", "leaky": "2.0+cpu"}
ADVISORY = {"id": "OSV-1", "summary": "It leaks.", "affected": [{"package": {"name": "leaky", "ecosystem": "PyPI"}, "versions": ["2.0"]}]}


def recipe(target: str, **variables: str) -> list[str]:
    """The last command of a target of the Makefile, with the programs of this environment."""
    [lines] = re.findall(rf"^{target}: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = lines.splitlines()[-1].strip().replace("$(BIN)/python", sys.executable).replace("$(BIN)", str(Path(sys.executable).parent))
    for name, value in variables.items():
        command = command.replace(f"$({name})", value)
    return command.split()


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SBOM of an environment with two packages."""
    folder = tmp_path_factory.mktemp("sbom")
    venv.create(folder / "environment", with_pip=False)
    [packages] = (folder / "environment").glob("lib/python*/site-packages")
    for name, version in PACKAGES.items():
        information = packages / f"{name}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    command = recipe("sbom", SBOM_OF=str(folder / "environment/bin/python"))
    place = folder / "sbom.json"
    made = subprocess.run([word.replace("dist/sbom.json", str(place)) for word in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return place


@contextmanager
def database(asked: list[dict[str, Any]], status: int = 200) -> Iterator[str]:
    """A database like OSV's that knows one advisory; gives the URL where it is asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(query)
            known = (query["package"]["name"], query["version"]) == ("leaky", "2.0")
            body = json.dumps({"vulns": [ADVISORY]} if known else {}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def audit(sbom: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [word.replace("dist/sbom.json", str(sbom)) for word in recipe("audit")]
    return subprocess.run([*command, "--osv-url", url], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_sbom_lists_what_is_installed_and_what_it_is_for(sbom: Path) -> None:
    document = json.loads(sbom.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "neumeta-server")
    assert {component["name"]: component["version"] for component in document["components"]} == PACKAGES


def test_a_known_vulnerability_is_found(sbom: Path) -> None:
    asked: list[dict[str, Any]] = []
    with database(asked) as url:
        done = audit(sbom, url)
    assert done.returncode == 1, done.stderr
    assert "leaky" in done.stdout
    assert "OSV-1" in done.stdout
    assert {query["package"]["name"]: query["version"] for query in asked} == {"sound": "1.0", "leaky": "2.0"}


def test_without_one_it_says_how_many_were_asked_about(sbom: Path, tmp_path: Path) -> None:
    document = json.loads(sbom.read_text())
    document["components"] = [component for component in document["components"] if component["name"] == "sound"]
    (tmp_path / "sbom.json").write_text(json.dumps(document))
    with database([]) as url:
        done = audit(tmp_path / "sbom.json", url)
    assert (done.returncode, done.stdout) == (0, "No known vulnerability. Packages that were asked about: 1.\n")


def test_a_database_that_cannot_be_asked_is_no_clean_bill(sbom: Path) -> None:
    done = audit(sbom, f"http://127.0.0.1:{free_port()}/v1/query")
    assert (done.returncode, done.stdout) == (2, "")
    assert "could not be asked, so nothing is known" in done.stderr
    assert "Traceback" not in done.stderr
    with database([], status=500) as url:
        assert audit(sbom, url).returncode == 2


@pytest.mark.parametrize("content", [None, "{}"])
def test_what_is_no_sbom_says_what_to_do(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "sbom.json"
    if content is not None:
        file.write_text(content)
    done = audit(file, "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "expected a CycloneDX document" in done.stderr if content else "make sbom" in done.stderr
