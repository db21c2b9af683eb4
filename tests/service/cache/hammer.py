"""A process that stores and reads the same few entries in one folder until it is killed, or `ROUNDS` times: python -m … FOLDER ROUNDS."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.service.cache.backends import SharedFolder
from tests.service.cache.entries import entry

NUMBERS = range(8)
SIZE = 20_000
# Room for five of the eight, so that each round evicts.
LIMIT = 5 * SIZE


async def main(folder: Path, rounds: int) -> None:
    shared = SharedFolder(folder)
    cache = shared.open(limit=LIMIT)
    for turn in range(rounds):
        for number in NUMBERS:
            await cache.put(entry(number, SIZE))
            found = await cache.get(entry((number + turn) % len(NUMBERS), SIZE).origin)
            assert found is None or found == entry((number + turn) % len(NUMBERS), SIZE)
        sys.stdout.write(".")
        sys.stdout.flush()
    await cache.aclose()
    lines = shared.metrics.render().decode().splitlines()
    errors = [line for line in lines if line.startswith("neumeta_cache_errors_total{") and not line.endswith(" 0.0")]
    assert not errors, errors


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
