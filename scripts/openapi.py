"""Writes docs/openapi.json: the description of the API as the service serves it, whatever models there are."""

from __future__ import annotations

import json
from pathlib import Path

from neumeta_service.app import create_app
from neumeta_service.settings import Settings

FILE = Path(__file__).parents[1] / "docs" / "openapi.json"


def render() -> str:
    """The OpenAPI document as text: in the order of the code, two spaces, a newline at the end."""
    app = create_app(Settings(models=FILE.parent, device="cpu"))
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
