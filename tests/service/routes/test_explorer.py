from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from neumeta_service.http import problems
from neumeta_service.routes import explorer

pytestmark = pytest.mark.anyio


def client_of(folder: Path) -> httpx.AsyncClient:
    app = FastAPI()
    explorer.install(app, folder)
    problems.install(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_the_page_and_its_assets(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>x</title>")
    (tmp_path / "assets" / "main-1234.js").write_text("let x;")
    async with client_of(tmp_path) as client:
        page = await client.get("/")
        assert page.text.startswith("<!doctype html>")
        assert page.headers["cache-control"] == "no-cache"
        assert (await client.get("/", headers={"if-none-match": page.headers["etag"]})).status_code == 304
        asset = await client.get("/assets/main-1234.js")
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["content-type"].startswith("text/javascript")
        missing = await client.get("/assets/nothing.js")
        assert (missing.status_code, "immutable" in missing.headers.get("cache-control", "")) == (404, False)


async def test_without_a_built_page_the_answer_says_how_to_build_one(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        answer = await client.get("/")
        assert answer.status_code == 404
        assert answer.json()["code"] == "explorer_missing"
        assert "make explorer" in answer.json()["detail"]
        assert (await client.get("/assets/x.js")).status_code == 404
