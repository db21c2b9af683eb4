"""Whatever happens to a manifold file, it is refused or still makes members: no other exception, seeded and bounded."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import onnx
from neumeta_core.assembly import assemble
from neumeta_core.errors import AssemblyError, ManifoldRefused
from neumeta_core.manifold import Manifold
from torch import Tensor

from tests.surgery import header_of, metadata_of, with_header_text, with_template, with_tensors, with_value

HOSTILE: list[Any] = [None, True, -1, 0, 7, 0.5, 1e308, 10**30, 2**63, "", "conv1", "x" * 5000, [], {}, [[]], [1, 2, 3], {"a": 1}, float("nan")]


def survives(data: bytes) -> bool:
    """True when the file is read; then its members can be made, or the build says why not. False when it is refused."""
    try:
        manifold = Manifold.from_bytes(data)
    except ManifoldRefused:
        return False
    member = manifold.configure(manifold.architecture.max_compression)
    manifold.cost(member)
    try:
        assemble(manifold, member, manifold.materialize(member))
    except AssemblyError as error:
        # Damaged weights may be so large that their products overflow.
        if "not finite" not in str(error):
            raise
    return True


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from leaves(entry, (*path, key))


def test_hostile_values_anywhere_in_the_header_are_survived(tiny_bytes: bytes, patched_bytes: bytes) -> None:
    generator = random.Random(0)
    read = 0
    for data in (tiny_bytes, patched_bytes):
        paths = [path for path in leaves(header_of(data)) if path]
        for _ in range(60):
            read += survives(with_value(data, generator.choice(paths), generator.choice(HOSTILE)))
    assert 0 < read < 40


def test_flipped_bytes_anywhere_are_survived(tiny_bytes: bytes, patched_bytes: bytes) -> None:
    generator = random.Random(1)
    for data in (tiny_bytes, patched_bytes):
        head = 8 + int.from_bytes(data[:8], "little")
        for attempt in range(40):
            damaged = bytearray(data)
            for _ in range(generator.choice([1, 1, 3, 20])):
                damaged[generator.randrange(head if attempt % 2 else len(data))] ^= 1 << generator.randrange(8)
            survives(bytes(damaged))


def test_flipped_bytes_in_the_template_are_survived(patched_bytes: bytes) -> None:
    generator = random.Random(2)

    def damage(tensors: dict[str, Tensor]) -> None:
        for _ in range(generator.choice([1, 2, 8])):
            tensors["template"][generator.randrange(len(tensors["template"]))] ^= 1 << generator.randrange(8)

    for _ in range(40):
        survives(with_tensors(patched_bytes, damage))


def test_hostile_entries_of_the_tensor_table_are_survived(tiny_bytes: bytes) -> None:
    length = int.from_bytes(tiny_bytes[:8], "little")
    generator = random.Random(3)
    odd = [*HOSTILE, "F64", "I64", "BOOL", "F8_E5M2", [0, 10**18], [0, 0], [10**18, 0], [2**40] * 3]
    for _ in range(60):
        table = json.loads(tiny_bytes[8 : 8 + length])
        paths = [path for path in leaves(table) if path and path[0] != "__metadata__"]
        place: Any = table
        *path, last = generator.choice(paths)
        for step in path:
            place = place[step]
        place[last] = generator.choice(odd)
        encoded = json.dumps(table).encode()
        survives(len(encoded).to_bytes(8, "little") + encoded + tiny_bytes[8 + length :])


def test_the_unchanged_file_is_read(tiny_bytes: bytes, patched_bytes: bytes) -> None:
    assert survives(tiny_bytes)
    assert survives(patched_bytes)
    assert survives(with_header_text(tiny_bytes, metadata_of(tiny_bytes)["neumeta"]))
    assert survives(with_template(tiny_bytes, onnx.ModelProto.ByteSize))
