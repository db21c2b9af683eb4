"""Asks the OSV database about every package of an SBOM: 0 no known vulnerability, 1 some, 2 it could not be asked."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

OSV = "https://api.osv.dev/v1/query"


def main() -> int:
    """Print what was found, and end with the code that says it."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("sbom", type=Path, help="a CycloneDX document, as `make sbom` writes it")
    parser.add_argument("--osv-url", default=OSV, help=f"where the database is asked (default: {OSV})")
    arguments = parser.parse_args()
    if not arguments.sbom.is_file():
        parser.error(f"{arguments.sbom} is not there; make it with `make sbom`.")
    packages = pinned(arguments.sbom)
    if not packages:
        parser.error(f"{arguments.sbom} names no package of PyPI; expected a CycloneDX document with components.")
    return audit(packages, arguments.osv_url)


def pinned(sbom: Path) -> list[str]:
    """``NAME==VERSION`` of each component that comes from PyPI; the part of a version behind ``+`` names a build of it, not a release."""
    components = json.loads(sbom.read_text(encoding="utf-8")).get("components", [])
    return [f"{each['name']}=={each['version'].partition('+')[0]}" for each in components if each.get("purl", "").startswith("pkg:pypi/")]


def audit(packages: list[str], osv_url: str) -> int:
    """Let pip-audit look up exactly these packages, with no resolution of its own."""
    with TemporaryDirectory() as folder:
        requirements, report = Path(folder, "requirements.txt"), Path(folder, "report")
        requirements.write_text("\n".join(packages))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip", "--strict"]
        options = ["--vulnerability-service", "osv", "--osv-url", osv_url, "--progress-spinner", "off", "--output", str(report)]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        found = report.read_text() if report.exists() else ""
    if done.returncode == 0:
        print(f"No known vulnerability. Packages that were asked about: {len(packages)}.")
        return 0
    if found:
        print(found)
        return 1
    reason = done.stderr.strip().rpartition("\n")[2]
    print(f"The advisory database at {osv_url} could not be asked, so nothing is known: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
