"""What an ``Authorization`` header comes to, and how long it is remembered."""

from __future__ import annotations

import base64
import hmac
import json
import logging
from functools import partial
from pathlib import Path

import jwt
import pytest
from neumeta_service.access.authenticator import Authenticator
from neumeta_service.access.jwt import TokenVerifier, read_verifier
from neumeta_service.access.keys import KeyRing, read_key_ring, read_keys, write_keys
from neumeta_service.errors import Unauthenticated
from neumeta_service.settings import SettingsError
from neumeta_service.watched import WatchedFiles

from tests.service.access.tokens import AUDIENCE, FAR, ISSUER, IdentityProvider, add_key
from tests.service.in_place import overwrite


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def key_file(path: Path, clock: Clock) -> WatchedFiles[KeyRing]:
    return WatchedFiles([path], partial(read_key_ring, path), clock=clock)


def jwks_file(path: Path, clock: Clock) -> WatchedFiles[TokenVerifier]:
    return WatchedFiles([path], partial(read_verifier, path, issuer=ISSUER, audience=AUDIENCE), clock=clock)


def header(token: str) -> bytes:
    return f"Bearer {token}".encode()


def refusal(authenticator: Authenticator, authorization: bytes) -> str:
    with pytest.raises(Unauthenticated) as caught:
        authenticator.authenticate(authorization)
    return caught.value.headers["www-authenticate"]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.mark.parametrize("spelling", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} "])
def test_a_good_token(keys: Path, spelling: str) -> None:
    token = add_key(keys, "read")
    authenticator = Authenticator(key_file(keys, Clock()), None)
    for _ in range(2):
        assert authenticator.authenticate(spelling.format(token).encode()).scopes == {"read"}


@pytest.mark.parametrize("authorization", [b"", b"Bearer", b"Bearer  ", b"Basic dXNlcjpwYXNz", b"nm_0", b"\xff\xfe"])
def test_no_token_is_no_error_of_the_token(keys: Path, authorization: bytes) -> None:
    add_key(keys)
    assert refusal(Authenticator(key_file(keys, Clock()), None), authorization) == 'Bearer realm="neumeta"'


@pytest.mark.parametrize("token", ["x", "a.b.c", "nm_00000000_" + "0" * 64, "x" * 100_000, "ä"])
def test_a_wrong_token_is_an_invalid_one(keys: Path, token: str) -> None:
    add_key(keys)
    authenticator = Authenticator(key_file(keys, Clock()), None)
    for _ in range(2):
        assert refusal(authenticator, header(token)) == 'Bearer realm="neumeta", error="invalid_token"'


def test_a_token_expires_although_it_is_remembered(keys: Path) -> None:
    clock = Clock()
    token = add_key(keys, expires=2000)
    authenticator = Authenticator(key_file(keys, Clock()), None, clock=clock)
    authenticator.authenticate(header(token))
    clock.now_s = 1999.9
    authenticator.authenticate(header(token))
    clock.now_s = 2000.0
    assert "invalid_token" in refusal(authenticator, header(token))


def test_the_file_is_read_again_within_a_second(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    first = add_key(keys)
    authenticator = Authenticator(key_file(keys, clock), None)
    authenticator.authenticate(header(first))
    second = add_key(keys)
    write_keys(keys, [key for key in read_keys(keys) if key.id == second[3:11]])
    authenticator.authenticate(header(first))
    clock.now_s += 1
    assert "invalid_token" in refusal(authenticator, header(first))
    authenticator.authenticate(header(second))
    keys.write_text("{")
    clock.now_s += 1
    authenticator.authenticate(header(second))
    keys.unlink()
    clock.now_s += 1
    authenticator.authenticate(header(second))
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert all("What was read before stays in force." in error for error in errors)


def test_a_change_that_could_not_be_read_counts_as_soon_as_it_can_be(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock, is_readable = Clock(), True

    def read(path: Path) -> KeyRing:
        if not is_readable:
            raise SettingsError(f"The file of API keys {path} cannot be read: Permission denied.")
        return read_key_ring(path)

    revoked = add_key(keys)
    authenticator = Authenticator(WatchedFiles([keys], partial(read, keys), clock=clock), None)
    is_readable = False
    write_keys(keys, [])
    for _ in range(3):
        clock.now_s += 1
        authenticator.authenticate(header(revoked))
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1, "it is said once"
    is_readable = True
    clock.now_s += 1
    assert "invalid_token" in refusal(authenticator, header(revoked))


def test_a_file_is_read_again_whose_size_and_time_stayed(keys: Path, tmp_path: Path) -> None:
    clock = Clock()
    first, second = add_key(keys), add_key(tmp_path / "others.json")
    authenticator = Authenticator(key_file(keys, clock), None)
    overwrite(keys, (tmp_path / "others.json").read_bytes())
    clock.now_s += 1
    assert "invalid_token" in refusal(authenticator, header(first))
    authenticator.authenticate(header(second))


def test_a_jwt(tmp_path: Path) -> None:
    provider = IdentityProvider()
    authenticator = Authenticator(None, jwks_file(provider.publish(tmp_path / "jwks.json"), Clock()))
    caller = authenticator.authenticate(header(provider.token(scope="read openid admin")))
    assert (caller.identity, caller.scopes, caller.expires_at) == ("jwt:device-7", {"read", "admin"}, FAR + 30)
    assert authenticator.authenticate(header(provider.token(scope=None))).scopes == set()
    assert authenticator.authenticate(header(provider.token(aud=["other", AUDIENCE]))).scopes == {"read", "materialize"}


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"iss": "https://other"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"sub": None},
        {"nbf": FAR},
        {"exp": 10**400},
        {"sub": "half of a pair: \ud800"},
    ],
    ids=ascii,
)
def test_a_jwt_with_a_wrong_claim(tmp_path: Path, changes: dict[str, object]) -> None:
    provider = IdentityProvider()
    authenticator = Authenticator(None, jwks_file(provider.publish(tmp_path / "jwks.json"), Clock()))
    assert "invalid_token" in refusal(authenticator, header(provider.token(**changes)))


def signed_with_the_public_key(provider: IdentityProvider, claims: dict[str, object]) -> str:
    """What a library takes for good that lets the token say how to verify it (PyJWT refuses to make one)."""
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256", "kid": "one"}, claims))
    signature = hmac.digest(base64.urlsafe_b64decode(provider.public()["x"] + "="), head + b"." + body, "sha256")
    return b".".join((head, body, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode()


def test_a_jwt_by_somebody_else_and_one_that_chooses_its_own_algorithm(tmp_path: Path) -> None:
    provider = IdentityProvider()
    authenticator = Authenticator(None, jwks_file(provider.publish(tmp_path / "jwks.json"), Clock()))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": FAR, "scope": "admin"}
    forged = [
        IdentityProvider().token(),
        IdentityProvider("another").token(),
        jwt.encode(claims, None, "none", {"kid": "one"}),
        signed_with_the_public_key(provider, claims),
        provider.token()[:-4] + "AAAA",
        "a.b.c",
    ]
    for token in forged:
        assert "invalid_token" in refusal(authenticator, header(token))


def test_a_new_signing_key_and_an_old_one(tmp_path: Path) -> None:
    clock = Clock()
    old, new = IdentityProvider("old"), IdentityProvider("new")
    authenticator = Authenticator(None, jwks_file(old.publish(tmp_path / "jwks.json"), clock))
    authenticator.authenticate(header(old.token()))
    new.publish(tmp_path / "jwks.json")
    clock.now_s += 1
    authenticator.authenticate(header(new.token()))
    assert "invalid_token" in refusal(authenticator, header(old.token()))


def test_keys_and_jwts_side_by_side(tmp_path: Path, keys: Path) -> None:
    provider, token = IdentityProvider(), add_key(keys, "admin")
    clock = Clock()
    authenticator = Authenticator(key_file(keys, clock), jwks_file(provider.publish(tmp_path / "jwks.json"), clock))
    assert authenticator.authenticate(header(token)).scopes == {"admin"}
    assert authenticator.authenticate(header(provider.token())).scopes == {"read", "materialize"}


def test_a_key_for_encryption_verifies_nothing(tmp_path: Path) -> None:
    provider = IdentityProvider()
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [IdentityProvider("other").public(), provider.public() | {"use": "enc"}]}))
    authenticator = Authenticator(None, jwks_file(tmp_path / "jwks.json", Clock()))
    assert "invalid_token" in refusal(authenticator, header(provider.token()))


@pytest.mark.parametrize(
    ("kids", "reason"),
    [(["one", "one"], "two keys of one kid"), ([None, None], "several without"), ([["one"], "two"], "a kid that is no text")],
    ids=str,
)
def test_a_file_whose_keys_cannot_be_told_apart_is_refused(tmp_path: Path, kids: list[object], reason: str) -> None:
    keys = [IdentityProvider().public() | {"kid": kid} for kid in kids]
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{name: value for name, value in key.items() if value is not None} for key in keys]}))
    with pytest.raises(SettingsError, match=reason):
        read_verifier(tmp_path / "jwks.json", issuer=ISSUER, audience=AUDIENCE)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "one"}]}', '{"keys": [{"kty": "RSA"}]}']
)
def test_a_file_without_a_usable_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "jwks.json").write_text(text)
    with pytest.raises(SettingsError, match=r"jwks\.json (is no JWK Set|has no key)"):
        read_verifier(tmp_path / "jwks.json", issuer=ISSUER, audience=AUDIENCE)
