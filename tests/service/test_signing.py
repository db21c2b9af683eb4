"""Which manifolds are served under a trust root, and what is signed. The client's side: tests/contract/test_verification.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from neumeta_core.signing.bundle import Bundle, Chain
from neumeta_core.signing.credentials import Credentials
from neumeta_core.signing.keys import public_of, write_key
from neumeta_core.signing.manifest import ManifestStatement
from neumeta_core.signing.manifold import signature_path, state_manifold
from neumeta_core.signing.payload import Kind
from neumeta_service.catalog.admission import admit
from neumeta_service.catalog.catalog import Catalog
from neumeta_service.catalog.repository import Repository
from neumeta_service.catalog.store import Release, Store
from neumeta_service.errors import StoreUnavailable
from neumeta_service.settings import SettingsError
from neumeta_service.signing.signer import LOOK_S
from neumeta_service.signing.trust import provenance_of

from tests.core.signing.authority import DAY, NEXT_ROOT, NOW, ONLINE, ROOT, ROOTS, STRANGER, certificate, credentials
from tests.service.in_place import overwrite
from tests.service.serving import JSON, POST, in_process, tiny_app
from tests.service.signed import Clock, SignedFolder
from tests.service.test_problems import problem

pytestmark = pytest.mark.anyio


@pytest.fixture
def signed(tmp_path: Path) -> SignedFolder:
    made = SignedFolder(tmp_path, Clock())
    made.add()
    return made


async def manifest(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(POST, json=body or {"compression": 0.5}, headers=JSON)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def opened(signature: object, now: float = NOW) -> ManifestStatement:
    return Bundle.model_validate_json(json.dumps(signature)).open(ManifestStatement, ROOTS, now)


async def refusals(app: Any) -> list[tuple[int, str]]:
    async with in_process(app) as client:
        models = (await client.get("/v1/models")).json()["models"]
        return [(model["version"], model["reason"]) for model in models if model["state"] == "refused"]


async def test_setting_trust_root(signed: SignedFolder) -> None:
    assert await refusals(signed.app()) == []
    signed.trust_root.write_text(public_of(STRANGER))
    ((_, reason),) = await refusals(signed.app(signing_key=None, signing_certificate=None))
    assert "its signature is refused: it leads back to ed25519:" in reason
    signed.trust_root.write_text("nothing")
    with pytest.raises(SettingsError, match=r"NEUMETA_TRUST_ROOT: .*expected public keys"):
        signed.app()


@pytest.mark.parametrize(
    ("by", "sentence"),
    [
        (Credentials(STRANGER), "no key of the trust root"),
        (Credentials(ONLINE), "no key of the trust root"),
        (credentials(certificate(ONLINE)), "for the purpose manifest; expected manifold"),
        (credentials(certificate(ONLINE, Kind.MANIFOLD, not_after=NOW)), "has expired"),
    ],
)
async def test_a_manifold_that_the_wrong_key_signed_is_refused(signed: SignedFolder, by: Credentials, sentence: str) -> None:
    signed.add(2, by=by)
    ((version, reason),) = await refusals(signed.app())
    assert version == 2
    assert sentence in reason


async def test_a_publisher_may_sign_manifolds(signed: SignedFolder) -> None:
    signed.add(2, by=credentials(certificate(ONLINE, Kind.MANIFOLD)))
    assert await refusals(signed.app()) == []


async def test_a_stripped_changed_or_replayed_manifold_is_refused_and_the_older_one_served(signed: SignedFolder) -> None:
    old = signed.add(1)
    new = signed.add(2, seed=2)
    signature, whole = signature_path(new), new.read_bytes()
    cases = {
        "it is not signed: manifold.safetensors.sig is missing": lambda: signature.unlink(),
        "it is of tiny version 1; expected tiny version 2": lambda: signature.write_bytes(signature_path(old).read_bytes()),
        "it is of other bytes": lambda: new.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])),
        "the signature of its manifold is not valid": lambda: signature.write_text(_forged(signature.read_text())),
        "is damaged or something else": lambda: signature.write_text("{"),
    }
    for sentence, damage in cases.items():
        signed.add(2, seed=2)
        damage()
        ((version, reason),) = await refusals(signed.app())
        assert (version, sentence in reason) == (2, True), reason
        async with in_process(signed.app()) as client:
            assert (await manifest(client))["version"] == 1
        new.write_bytes(whole)


class LosingStore(Store):
    """Its connection breaks down between a manifold and its signature."""

    is_connected = False

    def read_signature(self, release: Release) -> bytes | None:
        if not self.is_connected:
            raise StoreUnavailable("the signature cannot be read: timed out.")
        return super().read_signature(release)


def test_a_signature_that_could_not_be_read_is_looked_for_again(signed: SignedFolder) -> None:
    store = LosingStore(str(signed.models))
    repository = Repository(store, admit, provenance_of(signed.settings(), signed.clock))
    catalog = repository.renew(Catalog())
    assert [refusal.reason for refusal in catalog.refusals] == ["the signature cannot be read: timed out."]
    store.is_connected = True
    assert repository.has_changed(), "or the watcher would leave it refused"
    catalog = repository.renew(catalog)
    assert (catalog.releases, catalog.refusals, repository.has_changed()) == ({("tiny", 1)}, (), False)


def _forged(text: str) -> str:
    """The same signature around another statement."""
    document = json.loads(text)
    statement = state_manifold(b"other", "tiny", 2, now=NOW)
    document["envelope"]["payload"] = json.loads(Credentials(ROOT).sign(statement).model_dump_json())["envelope"]["payload"]
    return json.dumps(document)


async def test_setting_signing_key(signed: SignedFolder) -> None:
    async with in_process(signed.app(signing_key=None, signing_certificate=None)) as client:
        document = await manifest(client)
        assert document["signature"] is None
        problem(await client.get(f"{document['url']}/signature"), 404, "not_signed")
        assert "link" not in (await client.post(POST, json={"compression": 0.5})).headers
    async with in_process(signed.app()) as client:
        assert opened((await manifest(client))["signature"]).manifest["digest"] == document["digest"]


async def test_the_whole_manifest_is_signed_and_found_from_the_bytes(signed: SignedFolder) -> None:
    async with in_process(signed.app()) as client:
        made = await client.post(POST, json={"compression": 0.5})
        document = await manifest(client)
        statement = opened(document["signature"])
        expected = document | {"compression": document["compression"] | {"requested": None}}
        assert document["compression"]["requested"] == 0.5
        assert statement.manifest == {name: value for name, value in expected.items() if name != "signature"}
        url, _, rest = made.headers["link"].partition(">")
        assert rest == '; rel="describedby"; type="application/json"'
        answer = await client.get(url.removeprefix("<"))
        assert answer.json() == document["signature"]
        assert answer.headers["cache-control"] == "no-cache"
        problem(await client.get(f"/v1/artifacts/sha256:{'0' * 64}/signature"), 404, "artifact_gone")


@pytest.mark.parametrize(
    ("signs", "is_shared", "secret", "said"),
    [(True, True, None, True), (True, True, "1" * 32, False), (True, False, None, False), (False, True, None, False)],
    ids=["open", "sealed", "alone", "unsigned"],
)
async def test_a_shared_cache_without_a_secret_is_told_of(
    signed: SignedFolder, tmp_path: Path, signs: bool, is_shared: bool, secret: str | None, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {} if signs else {"signing_key": None, "signing_certificate": None}
    async with in_process(signed.app(cache_dir=tmp_path / "cache" if is_shared else None, cache_secret=secret, **keys)):
        pass
    assert ("NEUMETA_CACHE_SECRET is not set" in caplog.text) == said


async def test_setting_signature_lifetime_s(signed: SignedFolder) -> None:
    async with in_process(signed.app(signature_lifetime_s=1000)) as client:
        first = opened((await manifest(client))["signature"])
        assert (first.issued, first.expires) == (NOW, NOW + 1000)
        signed.clock.now += 499
        assert opened((await manifest(client))["signature"]) == first
        signed.clock.now += 1
        assert opened((await manifest(client, compression=0.5))["signature"]).expires == NOW + 1500


async def test_a_renewed_certificate_is_taken_up(signed: SignedFolder) -> None:
    async with in_process(signed.app()) as client:
        before = await manifest(client)
        assert await expiry(client) == NOW + 30 * DAY
        signed.install(ONLINE, certificate(ONLINE, not_after=NOW + 60 * DAY))
        assert await manifest(client) == before, "not looked at yet"
        signed.clock.now += LOOK_S
        assert opened((await manifest(client))["signature"], NOW + 40 * DAY)
        assert await expiry(client) == NOW + 60 * DAY


async def test_a_new_key_is_taken_up_when_its_certificate_is_there(signed: SignedFolder, caplog: pytest.LogCaptureFixture) -> None:
    async with in_process(signed.app()) as client:
        (signed.folder / "online.pem").unlink()
        write_key(signed.folder / "online.pem", NEXT_ROOT)
        signed.clock.now += LOOK_S
        assert (await manifest(client))["signature"]["envelope"]["signatures"][0]["keyid"] == public_of(ONLINE)
        assert caplog.text.count("stays in force") == 1
        signed.install(NEXT_ROOT, certificate(NEXT_ROOT))
        signed.clock.now += LOOK_S
        signature = (await manifest(client))["signature"]
        assert signature["envelope"]["signatures"][0]["keyid"] == public_of(NEXT_ROOT)
        assert opened(signature, signed.clock.now)


async def test_a_certificate_that_came_before_its_time_is_taken_up_then(signed: SignedFolder, caplog: pytest.LogCaptureFixture) -> None:
    async with in_process(signed.app()) as client:
        signed.install(ONLINE, certificate(ONLINE, not_before=NOW + DAY, not_after=NOW + 60 * DAY))
        for _ in range(3):
            signed.clock.now += LOOK_S
            assert opened((await manifest(client))["signature"], signed.clock.now)
            assert await expiry(client) == NOW + 30 * DAY
        assert caplog.text.count("stays in force") == 1, "it is said once"
        signed.clock.now = NOW + DAY
        assert opened((await manifest(client))["signature"], NOW + 40 * DAY)
        assert await expiry(client) == NOW + 60 * DAY


async def test_a_certificate_is_taken_up_whose_file_kept_its_size_and_time(signed: SignedFolder) -> None:
    async with in_process(signed.app()) as client:
        renewed = Chain(certificates=(certificate(ONLINE, not_after=NOW + 60 * DAY),))
        overwrite(signed.folder / "online.cert", renewed.json_text().encode())
        signed.clock.now += LOOK_S
        await manifest(client)
        assert await expiry(client) == NOW + 60 * DAY


async def test_an_expired_certificate_stops_no_client_that_does_not_verify(signed: SignedFolder) -> None:
    async with in_process(signed.app()) as client:
        signed.clock.now = NOW + 31 * DAY
        assert (await client.post(POST, json={"compression": 0.5})).status_code == 200
        with pytest.raises(Exception, match="has expired"):
            opened((await manifest(client))["signature"], signed.clock.now)


async def expiry(client: httpx.AsyncClient) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    (line,) = [line for line in lines if line.startswith("neumeta_signing_certificate_expiry_timestamp_seconds")]
    return float(line.split()[1])


async def test_without_a_key_there_is_no_expiry_to_watch(models: Path) -> None:
    async with in_process(tiny_app(models)) as client:
        assert "neumeta_signing" not in (await client.get("/metrics")).text


def test_setting_signing_certificate(signed: SignedFolder) -> None:
    for made, sentence in (
        ([certificate(STRANGER)], "is for ed25519:.*; it was signed by ed25519:"),
        ([certificate(ONLINE, issuer=STRANGER)], "no key of the trust root"),
        ([certificate(ONLINE, not_after=NOW)], "has expired"),
        ([certificate(ONLINE, Kind.MANIFOLD)], "for the purpose manifold; expected manifest"),
        ([], "holds no certificate"),
    ):
        signed.install(ONLINE, *made)
        with pytest.raises(SettingsError, match=f"NEUMETA_SIGNING_CERTIFICATE: .*{sentence}"):
            signed.app()
    for missing in ("signing_key", "signing_certificate"):
        with pytest.raises(ValueError, match="set both or none"):
            signed.settings(**{missing: None})


def test_setting_signing_passphrase(signed: SignedFolder) -> None:
    write_key(signed.folder / "locked.pem", ONLINE, "a secret")
    signed.app(signing_key=signed.folder / "locked.pem", signing_passphrase="a secret")
    for passphrase, sentence in (("s3cret", "does not open it"), (None, "its passphrase is needed")):
        with pytest.raises(SettingsError, match=f"NEUMETA_SIGNING_KEY: .*{sentence}") as caught:
            signed.app(signing_key=signed.folder / "locked.pem", signing_passphrase=passphrase)
        assert "s3cret" not in str(caught.value)
