"""Damaged manifold files: every number gives one, the same in every run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx
import torch
from neumeta_core.header import Header
from neumeta_core.inr import MlpSettings, build_inr
from neumeta_core.manifold import Canary, Manifold

from tests import patched, tiny
from tests.surgery import header_of, with_header_text, with_tensors, with_value

HOSTILE: list[Any] = [
    *(None, True, False, -1, 0, 1, 7, 0.5, -0.5, 1e308, -1e308, 2**31, 2**32, 2**63, 2**64, 10**18, 10**30, float("nan"), float("inf")),
    *("", "conv1", "input", "\x00", "../..", "x" * 5000, "9" * 5000, [], {}, [[]], [1, 2, 3], [2**31] * 3, {"a": 1}, [None] * 1000),
]
NUMBERS = [0, 1, 7, 255, 256, 2**16, 2**24, 2**31 - 1, 2**31, 2**32, 2**40, 2**53, 2**63 - 1, 2**63, 2**64 - 1]
LARGE = 4_000_000
"""Bytes of the canary of the file that shows what grows with a file's size; its INR has about as many."""
Mutation = Callable[[bytes, random.Random], bytes]


def corpus(folder: Path) -> list[bytes]:
    """Whole files: of two families, of both ways an INR may depend on widths, and a large one."""
    coordinates = MlpSettings(hidden=8, layers=2)
    made = [tiny.tiny_manifold(), tiny.tiny_manifold(coordinates), patched.patched_manifold()]
    files = [_saved(manifold, folder) for manifold in made]
    canary = torch.zeros(LARGE // 64, 1, tiny.SIDE, tiny.SIDE, dtype=torch.uint8)
    large = tiny.tiny_manifold(MlpSettings(hidden=384, layers=4))
    large.canary = Canary(canary, torch.zeros(len(canary), dtype=torch.int64))
    return [*files, _saved(large, folder)]


def damaged(files: list[bytes], number: int, seed: int) -> bytes:
    """The file of this number; one of fifty is made of the large file."""
    draw = random.Random(f"{seed} {number}")
    *small, large = files
    data = large if number % 50 == 49 else draw.choice(small)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        try:
            data = draw.choice(MUTATIONS)(data, draw)
        except Exception:  # The last mutation may have left nothing that the next one can take apart.
            break
    return data


def _saved(manifold: Manifold, folder: Path) -> bytes:
    path = folder / "manifold.safetensors"
    manifold.save(path)
    return path.read_bytes()


def flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    head = 8 + int.from_bytes(data[:8], "little")
    end = min(len(data), head) if draw.random() < 0.5 else len(data)
    for _ in range(draw.choice([1, 1, 2, 8, 64])):
        changed[draw.randrange(end)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.choice([draw.randrange(len(data)), draw.randrange(64), len(data) - 1])]


def splice(data: bytes, draw: random.Random) -> bytes:
    """A piece of the file put in at, or laid over, another place."""
    start, place = draw.randrange(len(data)), draw.randrange(len(data))
    piece = data[start : start + draw.choice([1, 8, 100, 4096])]
    return data[:place] + piece + data[place + draw.choice([0, len(piece)]) :]


def grow(data: bytes, draw: random.Random) -> bytes:
    return data + draw.randbytes(draw.choice([1, 8, 1000]))


def claim_length(data: bytes, draw: random.Random) -> bytes:
    """Another length of the header than it has."""
    return draw.choice(NUMBERS).to_bytes(8, "little") + data[8:]


def header_value(data: bytes, draw: random.Random) -> bytes:
    path = draw.choice([path for path in leaves(header_of(data)) if path])
    return with_value(data, path, draw.choice([*HOSTILE, *NUMBERS]))


def header_text(data: bytes, draw: random.Random) -> bytes:
    """Text in place of the header's: broken or endless JSON, with lengths that fit."""
    text = json.dumps(header_of(data))
    place = draw.randrange(len(text))
    made = [text[:place], text[:place] + draw.choice('{}[],:"\\0') + text[place:], "[" * 5000, '{"a":' * 5000, "9" * 5000, "null", ""]
    return with_header_text(data, draw.choice(made))


def table_value(data: bytes, draw: random.Random) -> bytes:
    """A type, shape or offset of a tensor, with a length of the table that fits."""
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    *path, last = draw.choice([path for path in leaves(table) if path and path[0] != "__metadata__"])
    place: Any = table
    for step in path:
        place = place[step]
    place[last] = draw.choice([*HOSTILE, *NUMBERS, "F64", "I64", "BOOL", "F8_E5M2", [0, 2**60], [0, 0], [2**60, 0], [2**40] * 3])
    encoded = json.dumps(table).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data[8 + length :]


def huge_widths(data: bytes, draw: random.Random) -> bytes:
    """A channel group of another size in header, template and INR alike: a small file may describe a large network."""
    header = header_of(data)
    header["curve"] = None  # It names sizes, too.
    group = draw.choice(header["architecture"]["groups"])
    full = draw.choice([10, 1000, 10**4, 10**5, 10**6, 10**7, 10**9])
    group["full"], group["minimum"] = full, draw.choice([1, full // 2 or 1, full])
    text = json.dumps(header)
    with suppress(ValueError):  # Some are refused by the header alone.
        data = with_tensors(data, lambda tensors: _resize(tensors, Header.model_validate_json(text)))
    return with_header_text(data, text)


def _resize(tensors: dict[str, torch.Tensor], header: Header) -> None:
    model = onnx.load_from_string(tensors["template"].numpy().tobytes())
    shapes = {parameter.name: parameter.shape(header.architecture.full_widths) for parameter in header.architecture.parameters}
    for initializer in model.graph.initializer:
        if initializer.name in shapes:
            del initializer.dims[:]
            initializer.dims.extend(shapes[initializer.name])
    tensors["template"] = torch.frombuffer(bytearray(model.SerializeToString()), dtype=torch.uint8)
    with torch.device("meta"):
        inr = build_inr(header.architecture, header.inr)
    for name, tensor in inr.state_dict().items():
        if tensor.numel() < 10_000:
            tensors[f"inr.{name}"] = torch.zeros(tensor.shape, dtype=torch.float16)


def template_bits(data: bytes, draw: random.Random) -> bytes:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        template = tensors["template"] = tensors["template"].clone()
        for _ in range(draw.choice([1, 2, 8])):
            template[draw.randrange(len(template))] ^= 1 << draw.randrange(8)

    return with_tensors(data, damage)


def weights(data: bytes, draw: random.Random) -> bytes:
    """Other types, shapes and values of a tensor, in a table that fits them."""

    def damage(tensors: dict[str, torch.Tensor]) -> None:
        name = draw.choice(sorted(tensors))
        old = tensors[name]
        made = [old.flatten(), old[:0], old.double(), old.to(torch.bool), torch.full_like(old, 120), old.new_zeros(1)]
        tensors[draw.choice([name, name, "inr.foreign", "template", "canary.inputs"])] = draw.choice(made).contiguous().clone()

    return with_tensors(data, damage)


MUTATIONS: list[Mutation] = [
    *(flip, cut, splice, grow, claim_length, header_value, header_value, header_text, table_value, huge_widths, template_bits, weights)
]


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths to everything in a JSON value."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from leaves(entry, (*path, key))
