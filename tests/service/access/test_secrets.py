"""Neither the log nor an answer ever holds a secret."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.service.access.tokens import AUDIENCE, ISSUER, IdentityProvider, add_key, bearer
from tests.service.redis_server import RedisServer, free_port
from tests.service.serving import POST
from tests.service.test_main import command, wait_until_it_serves

PASSWORD = "pass-w0rd-of-redis"


@pytest.mark.parametrize("is_up", [True, False], ids=["a Redis with another password", "no Redis"])
def test_at_the_most_talkative_level(models: Path, tmp_path: Path, redis_server: RedisServer, is_up: bool) -> None:
    if not is_up:
        redis_server.kill()
    provider, forger = IdentityProvider(), IdentityProvider()
    good, reader, unknown = add_key(tmp_path / "keys.json"), add_key(tmp_path / "keys.json", "read"), add_key(tmp_path / "others.json")
    tokens = [good, reader, unknown, provider.token(), provider.token(exp=1), provider.token(aud="other"), forger.token()]
    log, port = tmp_path / "log", free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "api_keys_file": tmp_path / "keys.json",
        "jwt_keys_file": provider.publish(tmp_path / "jwks.json"),
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "rate_limit": "1/day",
        "redis_url": f"redis://user:{PASSWORD}@127.0.0.1:{redis_server.port}/0",
    }
    answers = b""
    with command(log, models=models, port=port, device="cpu", log_level="debug", **settings) as process:
        wait_until_it_serves(process, url)
        for token in tokens:
            for answer in (
                httpx.get(f"{url}/v1/models", headers=bearer(token)),
                httpx.post(f"{url}{POST}", json={"compression": 0.5}, headers=bearer(token)),
                httpx.post(f"{url}{POST}", json={"compression": 9, token: token[:5]}, headers=bearer(token)),
                httpx.get(f"{url}/v1/models", headers=bearer(f"{token}x")),
                httpx.get(f"{url}/v1/models", headers={"authorization": f"Basic {token}"}),
                httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {token}", "x": "x" * 20_000}),
                httpx.get(f"{url}/v1/models?access_token={token}"),
            ):
                # What a client wrote into a field of the body is named to that client alone.
                answers += b"" if answer.status_code == 422 else b"\n".join(f"{name}: {value}".encode() for name, value in answer.headers.items())
                answers += b"" if answer.status_code == 422 else answer.content
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(f"GET / HTTP/1.1\r\nauthorization: Bearer {token}\r\nbroken\r\n\r\n".encode())
                answers += connection.recv(65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    told = log.read_bytes() + answers
    assert b"Redis failed" in told
    assert b" 401 unauthenticated " in told
    assert b" 403 forbidden " in told
    for secret in (PASSWORD, *(token[12:] if token.startswith("nm_") else token.rpartition(".")[2] for token in tokens)):
        assert secret.encode() not in told
    assert not [token for token in tokens if token.partition(".")[2] and token.split(".")[1].encode() in told], "claims may name people"
