from __future__ import annotations

import gzip
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


@pytest.mark.parametrize(
    ("asked", "status", "text"),
    [
        ("bytes=1-3", 206, "hol"),
        ("bytes=2-", 206, "ole"),
        ("bytes=-2", 206, "le"),
        ("bytes=99-", 416, None),
        ("bytes=5-2", 200, "whole"),
        ("bytes=-", 200, "whole"),
        ("bytes=a-b", 200, "whole"),
        ("bytes=0-0,4-4", 200, "whole"),
        ("x=1", 200, "whole"),
        ("lines=1-2", 200, "whole"),
        ("", 200, "whole"),
    ],
)
async def test_a_part_is_sent_when_it_is_asked_for_well(tmp_path: Path, asked: str, status: int, text: str | None) -> None:
    (tmp_path / "assets").mkdir()
    for name in ("index.html", "assets/main-1234.js"):
        (tmp_path / name).write_text("whole")
    async with client_of(tmp_path) as client:
        for path in ("/", "/assets/main-1234.js"):
            answer = await client.get(path, headers={"range": asked})
            assert answer.status_code == status
            assert text is None or answer.text == text


async def test_without_a_built_page_the_answer_says_how_to_build_one(tmp_path: Path) -> None:
    async with client_of(tmp_path) as client:
        answer = await client.get("/")
        assert answer.status_code == 404
        assert answer.json()["code"] == "explorer_missing"
        assert "make explorer" in answer.json()["detail"]
        assert (await client.get("/assets/x.js")).status_code == 404


async def test_what_is_there_compressed_is_sent_compressed_to_whoever_takes_it(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    for name in ("main-1234.js", "plain-1234.js"):
        (tmp_path / "assets" / name).write_text("let x;")
    (tmp_path / "assets" / "main-1234.js.gz").write_bytes(gzip.compress(b"let x;"))
    async with client_of(tmp_path) as client:
        for name, accepted, encoding in (("main", "gzip", "gzip"), ("main", "gzip;q=0", None), ("plain", "gzip", None)):
            asset = await client.get(f"/assets/{name}-1234.js", headers={"accept-encoding": accepted})
            assert (asset.text, asset.headers.get("content-encoding")) == ("let x;", encoding)
            assert asset.headers["content-type"].startswith("text/javascript")
            assert asset.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
@pytest.mark.parametrize("name", ["a" * 300, "a%00b", "a" * 254, "none/below", ""])
async def test_a_name_that_no_file_can_have_is_not_found(tmp_path: Path, name: str, accepted: str) -> None:
    (tmp_path / "assets").mkdir()
    async with client_of(tmp_path) as client:
        answer = await client.get(f"/assets/{name}", headers={"accept-encoding": accepted})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
