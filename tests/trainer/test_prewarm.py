"""``neumeta prewarm`` as a process, against a real service behind a real socket."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from neumeta_trainer.bulk_jobs import BulkJobs
from neumeta_trainer.errors import ServiceFailed

from tests.service.selfcheck.judged import SHARED, judged_manifold, save
from tests.service.serving import POST, CountedManifold, live, tier, tiny_app, wait_for
from tests.tiny import save_tiny
from tests.trainer.test_cli import PATIENCE, command, neumeta

LADDER = "--compression", 0, "--compression", 0.5, "--precision", "fp32", "--precision", "int8"


@pytest.fixture
def manifold(tmp_path: Path) -> CountedManifold:
    return CountedManifold.load(save_tiny(tmp_path))


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_ladder_is_made_and_listed(manifold: CountedManifold, tmp_path: Path) -> None:
    with live(tiny_app(tmp_path, manifold)) as url:
        done = neumeta("prewarm", url, "tiny", *LADDER, COLUMNS="200")
        assert done.returncode == 0, done.stderr
        for compression in (0, 0.5):
            for precision in ("fp32", "int8"):
                answer = httpx.post(f"{url}{POST}", json={"compression": compression, "precision": precision})
                assert tier(answer) == "memory"
                assert answer.headers["etag"].strip('"') in done.stdout
        assert neumeta("prewarm", url + "/", "tiny", "--compression", 0.25).returncode == 0
        assert tier(httpx.post(f"{url}{POST}", json={"compression": 0.25})) == "memory"


def test_a_member_that_cannot_be_made(tmp_path: Path) -> None:
    save(judged_manifold(claims={SHARED: 1.0}), tmp_path)
    with live(tiny_app(tmp_path)) as url:
        done = neumeta("prewarm", url, "tiny", "--compression", 0, "--compression", SHARED, COLUMNS="300")
    assert done.returncode == 1
    assert "self_check_failed: This artifact of tiny version 1 in fp32 failed its self-check" in done.stdout
    assert "1 of 2 members were made; the job is failed." in done.stderr


@pytest.mark.parametrize("token", ["gehe\u00efm", "two\nlines"])
def test_a_token_that_no_header_can_have_is_told_as_such_and_not_shown(token: str) -> None:
    with pytest.raises(ServiceFailed, match=r"^the token has characters that no header can have") as refused:
        BulkJobs("http://127.0.0.1:9", token)
    assert token not in str(refused.value)


def test_interrupting_it_cancels_the_job(manifold: CountedManifold, tmp_path: Path) -> None:
    manifold.gate.clear()
    app = tiny_app(tmp_path, manifold)
    with live(app) as url:
        process = subprocess.Popen(command("prewarm", url, "tiny", *LADDER), stderr=subprocess.PIPE, text=True)
        assert manifold.started.wait(PATIENCE)
        # The command knows its job when it asks how that goes; the job itself begins before.
        wait_for(lambda: b'operation="get_job"' in app.state.engine.metrics.render())
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert "Cancelled: 3 of 4 members are left out." in error
        assert "Traceback" not in error
        manifold.gate.set()
        wait_for(lambda: [job["state"] for job in httpx.get(f"{url}/v1/jobs").json()["jobs"]] == ["cancelled"])
    assert manifold.builds == 1


def test_what_the_service_refuses_is_one_sentence(manifold: CountedManifold, tmp_path: Path) -> None:
    with live(tiny_app(tmp_path, manifold)) as url:
        refused = neumeta("prewarm", url, "tiny", "--compression", 0.9, COLUMNS="200")
        unknown = neumeta("prewarm", url, "nobody", "--compression", 0, COLUMNS="200")
    assert (refused.returncode, unknown.returncode) == (1, 1)
    assert "answers 422: ladder.compressions.0: 0.9 is not allowed; expected a number from 0 to 0.75." in one_line(refused.stderr)
    assert "answers 404: There is no model 'nobody'" in one_line(unknown.stderr)


@pytest.mark.parametrize(
    ("url", "sentence"), [("http://127.0.0.1:9", "cannot be asked"), ("no-url", "cannot be asked"), ("http://127.0.0.1:port", "is no URL")]
)
def test_no_service_there(url: str, sentence: str) -> None:
    done = neumeta("prewarm", url, "tiny", "--compression", 0, COLUMNS="200")
    assert done.returncode == 1
    assert sentence in one_line(done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("options", "variables"), [(("--token", "s3cret"), {}), ((), {"NEUMETA_CLIENT_TOKEN": "s3cret"})])
def test_the_token_is_sent(options: tuple[str, ...], variables: dict[str, str], manifold: CountedManifold, tmp_path: Path) -> None:
    seen = []
    app = tiny_app(tmp_path, manifold)

    @app.middleware("http")
    async def look(request, call_next):  # type: ignore[no-untyped-def]
        seen.append(request.headers.get("authorization"))
        return await call_next(request)

    with live(app) as url:
        assert neumeta("prewarm", url, "tiny", "--compression", 0, *options, **variables).returncode == 0
    assert set(seen) == {"Bearer s3cret"}
