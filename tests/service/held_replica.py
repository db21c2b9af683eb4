"""A replica that begins to build and never ends: python -m tests.service.held_replica MODELS SETTING VALUE. It says when it builds."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.service.serving import POST, CountedManifold, in_process, tiny_app


async def main(models: Path, setting: str, value: str) -> None:
    manifold = CountedManifold.load(models / "tiny" / "1" / "manifold.safetensors")
    manifold.gate.clear()
    async with in_process(tiny_app(models, manifold, **{setting: value})) as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(client.post(POST, json={"compression": 0.5}))
        await asyncio.to_thread(manifold.started.wait)
        sys.stdout.write("builds\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
