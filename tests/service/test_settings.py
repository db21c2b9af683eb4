"""Every setting: its effect, its documentation, and what a wrong one gets.

Host, port and logs: test_main.py; how it stops: test_server.py; traces: test_tracing.py; access: its own folder;
signing: test_signing.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import fsspec
import pytest
from neumeta_core.errors import DeviceUnavailable
from neumeta_core.inr import MlpSettings
from neumeta_service.app import create_app
from neumeta_service.errors import StoreUnavailable
from neumeta_service.settings import Settings, SettingsError, load_settings, variable
from pydantic import ValidationError

from tests.service import test_main, test_server, test_signing, test_tracing
from tests.service.access import test_access_settings, test_names
from tests.service.cache.backends import SharedFolder
from tests.service.redis_server import RedisServer
from tests.service.selfcheck.judged import judged_manifold, save
from tests.service.serving import POST, CountedManifold, in_process, tier, tiny_app
from tests.tiny import save_tiny

pytestmark = pytest.mark.anyio
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "settings.md"


async def test_setting_models(models: Path) -> None:
    async with in_process(create_app(Settings(models=models))) as client:
        assert [model["name"] for model in (await client.get("/v1/models")).json()["models"]] == ["tiny"]


async def test_setting_models_may_be_a_url(models: Path) -> None:
    async with in_process(create_app(Settings(models=f"file://{models}"))) as client:
        assert (await client.post(POST, json={"compression": 0.5})).status_code == 200
    memory = fsspec.filesystem("memory")
    memory.put(str(models), "/settings", recursive=True)
    async with in_process(create_app(Settings(models="memory://settings"))) as client:
        assert (await client.post(POST, json={"compression": 0.5})).status_code == 200
    memory.rm("/settings", recursive=True)
    with pytest.raises(StoreUnavailable, match="NEUMETA_MODELS cannot be read: there is nothing of that name"):
        create_app(Settings(models="memory://settings"))


async def test_setting_profiles(models: Path, tmp_path: Path) -> None:
    measured = {"version": 1, "precision": "fp32", "metric": "p50", "runtime": "one", "threads": 1}
    measured |= {"points": [{"compression": compression, "latency_ms": 1} for compression in (0, 0.5)]}
    for location in (tmp_path / "made" / "when missing", f"file://{tmp_path}"):
        for status in (201, 200):
            async with in_process(tiny_app(models, profiles=str(location))) as client:
                assert (await client.put("/v1/models/tiny/profiles/pi4", json=measured)).status_code == status
    (tmp_path / "file").touch()
    for location, reason in ((tmp_path / "file", "is no directory"), ("nowhere://x", "needs a backend of fsspec")):
        with pytest.raises(ValidationError, match=reason):
            Settings(models=models, profiles=str(location))


async def test_setting_reload_interval_s(tmp_path: Path) -> None:
    save_tiny(tmp_path, version=1)
    async with in_process(tiny_app(tmp_path, reload_interval_s=0.01)) as client:
        save_tiny(tmp_path, version=2)
        with anyio.fail_after(300):
            while (await client.get("/v1/models/tiny")).json()["version"] != 2:
                await anyio.sleep(0.01)
    async with in_process(tiny_app(tmp_path, reload_interval_s=0)) as client:
        save_tiny(tmp_path, version=3)
        for _ in range(50):
            await client.get("/livez")
        assert (await client.post("/v1/admin/reload")).json()["added"] == [{"name": "tiny", "version": 3}], "nobody had looked"


async def test_setting_device(models: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="cuda:99"):
        create_app(Settings(models=models, device="cuda:99"))
    app = create_app(Settings(models=models, device="cpu"))
    assert {manifold.device.type for manifold in app.state.engine.catalog} == {"cpu"}


async def test_setting_dtype(tmp_path: Path) -> None:
    save_tiny(tmp_path, settings=MlpSettings(layers=2, hidden=16))
    for dtype in ("fp32", "bf16"):
        app = create_app(Settings(models=tmp_path, device="cpu", dtype=dtype))
        assert {manifold.arithmetic for manifold in app.state.engine.catalog} == {f"cpu-{dtype}-k1"}
    with pytest.raises(ValidationError, match="dtype"):
        Settings(models=tmp_path, dtype="fp8")


async def test_setting_cache_bytes(models: Path) -> None:
    for cache_bytes, expected in ((0, "built"), (1_000_000, "memory")):
        async with in_process(tiny_app(models, cache_bytes=cache_bytes)) as client:
            await client.post(POST, json={"compression": 0.5})
            assert tier(await client.post(POST, json={"compression": 0.5})) == expected


async def test_setting_cache_dir(models: Path, tmp_path: Path) -> None:
    for expected in ("built", "disk"):
        async with in_process(tiny_app(models, cache_dir=tmp_path / "made" / "when missing")) as client:
            assert tier(await client.post(POST, json={"compression": 0.5})) == expected
    with pytest.raises(ValidationError, match="NEUMETA_CACHE_DIR is set too; unset one of the two"):
        Settings(models=models, cache_dir=tmp_path, redis_url="redis://127.0.0.1")


async def test_setting_cache_dir_bytes(models: Path, tmp_path: Path) -> None:
    folder = {"cache_dir": tmp_path, "cache_dir_bytes": 5000}
    async with in_process(tiny_app(models, **folder)) as client:
        small, large = [await client.post(POST, json={"compression": compression}) for compression in (0.75, 0)]
        assert len(small.content) < 5000 < len(large.content)
    async with in_process(tiny_app(models, **folder)) as client:
        assert [tier(await client.post(POST, json={"compression": compression})) for compression in (0.75, 0)] == ["disk", "built"]


async def test_setting_cache_dir_ttl_s(models: Path, tmp_path: Path) -> None:
    async with in_process(tiny_app(models, cache_dir=tmp_path, cache_dir_ttl_s=1000)) as client:
        await client.post(POST, json={"compression": 0.5})
    lifetimes_s = SharedFolder(tmp_path).lifetimes_s()
    assert len(lifetimes_s) == 1
    assert 800 < lifetimes_s[0] <= 1100


async def test_setting_redis_url(models: Path, redis_server: RedisServer) -> None:
    for expected in ("built", "redis"):
        async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
            assert tier(await client.post(POST, json={"compression": 0.5})) == expected


async def test_setting_redis_timeout_s(models: Path, redis_server: RedisServer) -> None:
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        await client.post(POST, json={"compression": 0.5})
    redis_server.pause()
    async with in_process(tiny_app(models, redis_url=redis_server.url, redis_timeout_s=0.05)) as client:
        assert tier(await client.post(POST, json={"compression": 0.5})) == "built", "gave up"
    async with in_process(tiny_app(models, redis_url=redis_server.url, redis_timeout_s=50)) as client, anyio.create_task_group() as tasks:

        async def patient() -> None:
            assert tier(await client.post(POST, json={"compression": 0.5})) == "redis", "waited"

        tasks.start_soon(patient)
        await anyio.sleep(0.5)
        redis_server.resume()


async def test_setting_redis_ttl_s(models: Path, redis_server: RedisServer) -> None:
    async with in_process(tiny_app(models, redis_url=redis_server.url, redis_ttl_s=1000)) as client:
        await client.post(POST, json={"compression": 0.5})
    with redis_server.connect() as redis:
        lifetimes = [redis.ttl(key) for key in redis.scan_iter()]
    assert len(lifetimes) == 3
    assert all(800 < lifetime <= 1100 for lifetime in lifetimes)


async def test_setting_redis_max_value_bytes(models: Path, redis_server: RedisServer) -> None:
    async with in_process(tiny_app(models, redis_url=redis_server.url, redis_max_value_bytes=5000)) as client:
        small, large = [await client.post(POST, json={"compression": compression}) for compression in (0.75, 0)]
        assert len(small.content) < 5000 < len(large.content)
    async with in_process(tiny_app(models, redis_url=redis_server.url)) as client:
        assert [tier(await client.post(POST, json={"compression": compression})) for compression in (0.75, 0)] == ["redis", "built"]


async def test_setting_queue_limit(models: Path, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    async with in_process(tiny_app(models, manifold, queue_limit=2)) as client, anyio.create_task_group() as tasks:

        async def ask(compression: float, expected: int) -> None:
            assert (await client.post(POST, json={"compression": compression})).status_code == expected

        for compression in (0, 0.25):
            tasks.start_soon(ask, compression, 200)
        await anyio.to_thread.run_sync(manifold.started.wait)
        await ask(0.5, 503)
        manifold.gate.set()


async def test_setting_request_timeout_s(models: Path, manifold: CountedManifold) -> None:
    manifold.gate.clear()
    async with in_process(tiny_app(models, manifold, request_timeout_s=0.1)) as client:
        assert (await client.post(POST, json={"compression": 0.5})).status_code == 504
        manifold.gate.set()


async def test_setting_self_check(tmp_path: Path) -> None:
    save(judged_manifold(shift=1), tmp_path)
    for mode, served in (("off", 1), ("auto", 0), ("required", 0)):
        assert len(tiny_app(tmp_path, self_check=mode).state.engine.catalog) == served


async def test_setting_self_check_share(tmp_path: Path) -> None:
    """A share of the builds, and the same ones in every process."""
    save(judged_manifold(), tmp_path)
    checked = []
    for share in (0, 0.3, 0.3, 1):
        app = tiny_app(tmp_path, self_check_share=share)
        async with in_process(app) as client:
            for number in range(30):
                await client.post(POST, json={"widths": {"conv1": 2 + number % 7, "conv2": 3 + number // 7}})
        samples = [sample for metric in app.state.engine.metrics.self_checks.collect() for sample in metric.samples]
        # Six are checked at the start, of each manifold.
        checked.append(sum(sample.value for sample in samples if sample.name.endswith("_total")) - 6)
    assert checked[1] == checked[2]
    assert checked[0] == 0 < checked[1] < checked[3] == 30


@pytest.mark.parametrize("shared", ["cache_dir", "redis_url"])
async def test_setting_cache_secret(models: Path, tmp_path: Path, shared: str, request: pytest.FixtureRequest) -> None:
    where = {shared: tmp_path / "cache" if shared == "cache_dir" else request.getfixturevalue("redis_server").url}
    tiers = []
    for secret in ("1" * 32, "1" * 32, "2" * 32, None):
        async with in_process(tiny_app(models, cache_secret=secret, cache_bytes=0, **where)) as client:
            tiers.append(tier(await client.post(POST, json={"compression": 0.5})))
    kept = "disk" if shared == "cache_dir" else "redis"
    assert tiers == ["built", kept, "built", kept]


async def test_setting_prewarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    save_tiny(tmp_path)
    monkeypatch.setenv("NEUMETA_MODELS", str(tmp_path))
    monkeypatch.setenv("NEUMETA_PREWARM", "0, 0.5,0.9")
    async with in_process(create_app(load_settings())) as client:

        async def is_done() -> bool:
            return [job["state"] for job in (await client.get("/v1/jobs")).json()["jobs"]] == ["done"]

        with anyio.fail_after(300):
            while not await is_done():
                await anyio.sleep(0.01)
        assert [tier(await client.post(POST, json={"compression": compression})) for compression in (0, 0.5, 0.75)] == ["memory", "memory", "built"]
    assert "tiny has no member at compression 0.9" in caplog.text


def test_every_setting_has_a_test() -> None:
    elsewhere = (test_main, test_server, test_tracing, test_access_settings, test_names, test_signing)
    tests = [name for module in elsewhere for name in vars(module)] + [*globals()]
    for name in Settings.model_fields:
        assert any(test.startswith("test_setting_") and name in test for test in tests), name


def test_every_setting_is_documented_with_its_default() -> None:
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `(NEUMETA_\w+)` \|.*$", DOCUMENTATION.read_text(), re.MULTILINE)}
    assert rows.keys() == {variable(name) for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else f"`{field.default}`"
        assert f"| {default} |" in rows[variable(name)]
        assert field.description
        assert field.description.replace("\n", " ") in rows[variable(name)]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    monkeypatch.setenv("NEUMETA_MODELS", str(models))
    monkeypatch.setenv("NEUMETA_PORT", "8123")
    monkeypatch.setenv("NEUMETA_REDIS_URL", "")
    assert load_settings() == Settings(models=models, port=8123, redis_url=None)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("NEUMETA_PROT", "1", r"NEUMETA_PROT is not a setting\. Did you mean NEUMETA_PORT\? The settings are NEUMETA_HOST, .*NEUMETA_LOG_FORMAT\."),
        ("neumeta_prot", "1", "neumeta_prot is not a setting"),
        ("NEUMETA_", "1", "is not a setting"),
        ("NEUMETA_DATABASE", "1", "NEUMETA_DATABASE is not a setting"),
        ("NEUMETA_PORT", "eighty", "NEUMETA_PORT: .*valid integer"),
        ("NEUMETA_PORT", "65536", "NEUMETA_PORT: .*65535"),
        ("NEUMETA_MODELS", "/nowhere/at/all", "NEUMETA_MODELS: .*director"),
        ("NEUMETA_MODELS", "file:///nowhere/at/all", "NEUMETA_MODELS: .*director"),
        ("NEUMETA_MODELS", "nope://bucket", "NEUMETA_MODELS: .*Protocol not known: nope"),
        ("NEUMETA_MODELS", "dask://bucket", "NEUMETA_MODELS: .*[Ii]nstall"),
        ("NEUMETA_RELOAD_INTERVAL_S", "-1", "NEUMETA_RELOAD_INTERVAL_S: "),
        ("NEUMETA_CACHE_BYTES", "-1", "NEUMETA_CACHE_BYTES: "),
        ("NEUMETA_REDIS_TIMEOUT_S", "0", "NEUMETA_REDIS_TIMEOUT_S: "),
        ("NEUMETA_REDIS_TTL_S", "0", "NEUMETA_REDIS_TTL_S: "),
        ("NEUMETA_REDIS_MAX_VALUE_BYTES", "x", "NEUMETA_REDIS_MAX_VALUE_BYTES: "),
        ("NEUMETA_QUEUE_LIMIT", "0", "NEUMETA_QUEUE_LIMIT: "),
        ("NEUMETA_REQUEST_TIMEOUT_S", "0", "NEUMETA_REQUEST_TIMEOUT_S: "),
        ("NEUMETA_DRAIN_S", "-1", "NEUMETA_DRAIN_S: "),
        ("NEUMETA_SHUTDOWN_S", "0", "NEUMETA_SHUTDOWN_S: "),
        ("NEUMETA_TRACING", "perhaps", "NEUMETA_TRACING: "),
        ("NEUMETA_SELF_CHECK", "maybe", "NEUMETA_SELF_CHECK: .*'required'"),
        ("NEUMETA_SELF_CHECK_SHARE", "1.5", "NEUMETA_SELF_CHECK_SHARE: .*less than or equal to 1"),
        ("NEUMETA_PREWARM", "0,1", "NEUMETA_PREWARM: .*less than 1"),
        ("NEUMETA_PREWARM", "0.5;0.6", "NEUMETA_PREWARM: .*number"),
        ("NEUMETA_TRUST_ROOT", "/nowhere/at/all", "NEUMETA_TRUST_ROOT: .*file"),
        ("NEUMETA_SIGNING_CERTIFICATE", __file__, "NEUMETA_SIGNING_CERTIFICATE: .*set both or none"),
        ("NEUMETA_SIGNING_KEY", __file__, "NEUMETA_SIGNING_CERTIFICATE: .*set both or none"),
        ("NEUMETA_SIGNATURE_LIFETIME_S", "0", "NEUMETA_SIGNATURE_LIFETIME_S: "),
        ("NEUMETA_LOG_LEVEL", "loud", "NEUMETA_LOG_LEVEL: .*'info'"),
        ("NEUMETA_CACHE_DIR_BYTES", "-1", "NEUMETA_CACHE_DIR_BYTES: "),
        ("NEUMETA_CACHE_DIR_TTL_S", "0", "NEUMETA_CACHE_DIR_TTL_S: "),
        ("NEUMETA_CACHE_SECRET", "s3cret", "NEUMETA_CACHE_SECRET: expected at least 32 characters"),
        ("NEUMETA_LOG_FORMAT", "xml", "NEUMETA_LOG_FORMAT: .*'json'"),
        ("NEUMETA_REDIS_URL", "http://user:s3cret@redis", "NEUMETA_REDIS_URL: .*rediss://"),
        ("NEUMETA_REDIS_URL", "redis://user:s3cret/@redis", "NEUMETA_REDIS_URL: .*%2F"),
        ("NEUMETA_REDIS_URL", "redis+sentinel://user:s3cret@redis", "NEUMETA_REDIS_URL: .*/SERVICE/DATABASE"),
    ],
)
def test_a_wrong_setting_is_a_sentence(monkeypatch: pytest.MonkeyPatch, models: Path, name: str, value: str, sentence: str) -> None:
    monkeypatch.setenv("NEUMETA_MODELS", str(models))
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_foreign_names_are_let_through(monkeypatch: pytest.MonkeyPatch, models: Path) -> None:
    monkeypatch.setenv("NEUMETA_MODELS", str(models))
    monkeypatch.setenv("NEUMETA_CLIENT_URL", "http://127.0.0.1:8080")
    monkeypatch.setenv("NEUMETA_DATA", "/data")
    load_settings()


def test_secrets_are_not_shown(models: Path) -> None:
    assert "s3cret" not in repr(Settings(models=models, redis_url="redis://:s3cret@redis", cache_secret=6 * "s3cret"))
