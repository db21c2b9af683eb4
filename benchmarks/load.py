"""Clients that ask for artifacts in every way and check every byte that they get."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import httpx
from latency import Body, path

MIX = {"cold": 5, "warm": 45, "whole": 20, "304": 15, "range": 15}
"""Kinds of requests, and how many of a hundred: POST of any member, POST of a popular one, and GET of an artifact that was got before."""
TRIES = 20
LONGEST_PAUSE_S = 1.0
FAULTLESS = {"ok", "gone", "busy", "retried"}
"""Outcomes that a client has to expect: right bytes; 404 with the advice to repeat the POST; 503 with Retry-After; a broken connection."""


@dataclass
class Tally:
    """What came of all requests."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind and outcome."""
    milliseconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of those that were answered as they should, by phase and kind."""
    digests: dict[str, str] = field(default_factory=dict)
    """What each member came to, the first time."""

    def failures(self) -> dict[str, int]:
        return {f"{kind}: {outcome}": count for (kind, outcome), count in self.outcomes.items() if outcome not in FAULTLESS}


@dataclass(frozen=True)
class Known:
    """An artifact that a client has."""

    url: str
    etag: str
    data: bytes


class Load:
    """One crowd of clients; ``phase`` is the label under which times are kept."""

    def __init__(self, client: httpx.AsyncClient, model: str, groups: list[Mapping[str, int]], popular: list[Body]) -> None:
        self.tally = Tally()
        self.phase = "calm"
        self._client = client
        self._model = model
        self._groups = groups
        self._popular = popular
        self._known: dict[str, Known] = {}
        self._stopped = False

    def stop(self) -> None:
        """Every client finishes its request and ends."""
        self._stopped = True

    async def run(self, clients: int) -> None:
        """Until it is stopped."""
        await asyncio.gather(*(self._one_client(random.Random(number)) for number in range(clients)))

    async def _one_client(self, draw: random.Random) -> None:
        while not self._stopped:
            kind = draw.choices(list(MIX), list(MIX.values()))[0]
            if kind in ("cold", "warm") or not self._known:
                body = self._member(draw) if kind == "cold" else draw.choice(self._popular)
                await self._repeat("cold" if kind == "cold" else "warm", partial(self._post, body))
            else:
                known = draw.choice(list(self._known.values()))
                await self._repeat(kind, partial(self._get, kind, known, draw))

    def _member(self, draw: random.Random) -> Body:
        return {"widths": {str(group["name"]): draw.randint(group["minimum"], group["full"]) for group in self._groups}}

    async def _repeat(self, kind: str, ask: Callable[[], Awaitable[str]]) -> None:
        """Ask until there is an answer, as the clients of this service do."""
        start, phase = time.perf_counter(), self.phase
        for _ in range(TRIES):
            try:
                outcome = await ask()
            except httpx.TransportError:
                outcome = "retried"
            self.tally.outcomes[kind, outcome] += 1
            if outcome not in ("retried", "busy"):
                if outcome == "ok":
                    self.tally.milliseconds[phase, kind].append(1e3 * (time.perf_counter() - start))
                return
            await asyncio.sleep(0.05 if outcome == "retried" else LONGEST_PAUSE_S)
        self.tally.outcomes[kind, "gave up"] += 1

    async def _post(self, body: Body) -> str:
        answer = await self._client.post(path(self._model), json=body)
        if answer.status_code != httpx.codes.OK:
            return _refused(answer)
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        first = self.tally.digests.setdefault(str(body), digest)
        if answer.headers["etag"] != f'"{digest}"' or first != digest:
            return "wrong bytes"
        if body in self._popular:
            self._known[digest] = Known(answer.headers["content-location"], f'"{digest}"', answer.content)
        return "ok"

    async def _get(self, kind: str, known: Known, draw: random.Random) -> str:
        if kind == "304":
            answer = await self._client.get(known.url, headers={"if-none-match": known.etag})
            return "ok" if answer.status_code == httpx.codes.NOT_MODIFIED and not answer.content else _refused(answer)
        if kind == "whole":
            answer = await self._client.get(known.url)
            return ("ok" if answer.content == known.data else "wrong bytes") if answer.status_code == httpx.codes.OK else _refused(answer)
        start = draw.randrange(len(known.data))
        stop = draw.randint(start + 1, len(known.data))
        answer = await self._client.get(known.url, headers={"range": f"bytes={start}-{stop - 1}", "if-range": known.etag})
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
            return _refused(answer)
        where = f"bytes {start}-{stop - 1}/{len(known.data)}"
        return "ok" if (answer.content, answer.headers["content-range"]) == (known.data[start:stop], where) else "wrong bytes"


def _refused(answer: httpx.Response) -> str:
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "retry-after" in answer.headers:
        return "busy"
    if answer.status_code == httpx.codes.NOT_FOUND and "artifact_gone" in answer.text:
        return "gone"
    return f"status {answer.status_code}"
