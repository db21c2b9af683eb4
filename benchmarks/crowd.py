"""Clients that ask a service at the same moment, or one who asks for one artifact after the other: the same code and the same clock for both."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from threading import Barrier

import httpx
from latency import Body, connected, post


def seconds_for(url: str, model: str, bodies: Sequence[Body], *, clients: int) -> float:
    """Seconds from the moment when all clients begin until all bodies are answered; each asks for its share of them, one after the other.

    Each is a thread with a connection of its own, which is open before; the JSON is made before. The threads share
    the machine's cores with the service, so they use the standard library's client, which needs far less of them than httpx.
    """
    requests = [json.dumps(body) for body in bodies]
    begun: list[float] = []
    barrier = Barrier(clients, action=lambda: begun.append(time.perf_counter()))

    def work(connection: HTTPConnection, share: Sequence[str]) -> float:
        barrier.wait()
        for request in share:
            post(connection, model, request)
        return time.perf_counter()

    with ExitStack() as stack:
        connections = [stack.enter_context(connected(httpx.URL(url))) for _ in range(clients)]
        shares = [requests[number::clients] for number in range(clients)]
        # A waiting thread is not free for another client, so the pool starts one for each.
        ends = list(stack.enter_context(ThreadPoolExecutor(clients)).map(work, connections, shares))
    return max(ends) - begun[0]
