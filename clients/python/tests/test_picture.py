"""Image files on their way to a network, by what one says of them that answers with the class of the brightest tenth."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image


def brightest_tenth() -> bytes:
    pixels = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 28, 28])
    scores = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    weights = np.zeros((784, 10), dtype=np.float32)
    for tenth in range(10):
        weights[78 * tenth : 78 * (tenth + 1), tenth] = 1
    nodes = [helper.make_node("Flatten", ["input"], ["flat"]), helper.make_node("MatMul", ["flat", "weights"], ["logits"])]
    graph = helper.make_graph(nodes, "tenths", [pixels], [scores], [numpy_helper.from_array(weights, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(autouse=True)
def _network(service):
    service.make = lambda _: brightest_tenth()


def grey(background: int, brightest: int) -> np.ndarray:
    pixels = np.full((28, 28), background, dtype=np.uint16)
    pixels.reshape(-1)[78 * 4 : 78 * 5] = brightest
    return pixels


def best(run, path, *arguments: str) -> dict[str, object]:
    (found,) = json.loads(run("run", "lenet-mnist", str(path), "--json", *arguments)[1])
    return found["labels"][0]


@pytest.mark.parametrize("invert", [False, True])
def test_the_picture_reaches_the_network(run, tmp_path, invert):
    pixels = np.zeros((28, 28), dtype=np.uint8)
    pixels.reshape(-1)[78 * 4 : 78 * 5] = 255
    Image.fromarray(255 - pixels if invert else pixels).save(tmp_path / "four.png")
    arguments = ["--invert"] if invert else []
    (found,) = json.loads(run("run", "lenet-mnist", str(tmp_path / "four.png"), "--json", *arguments)[1])
    assert found["labels"][0]["name"] == "4"
    assert found["labels"][0]["probability"] > 0.99


def test_a_picture_is_turned_as_its_exif_data_say(run, tmp_path):
    pixels = np.zeros((28, 28), dtype=np.uint8)
    pixels.reshape(-1)[78 * 4 : 78 * 5] = 255
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    Image.fromarray(pixels[::-1, ::-1].copy()).save(tmp_path / "four.png", exif=upside_down)
    (found,) = json.loads(run("run", "lenet-mnist", str(tmp_path / "four.png"), "--json")[1])
    assert found["labels"][0]["name"] == "4"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P"])
def test_what_is_transparent_is_white(run, tmp_path, mode):
    pixels = np.full((28, 28), 7, dtype=np.uint8)
    pixels.reshape(-1)[78 * 4 : 78 * 5] = 0
    picture = Image.fromarray(pixels)
    if mode.endswith("A"):
        alpha = Image.fromarray(np.where(pixels == 0, 0, 255).astype(np.uint8))
        Image.merge(mode, [*[picture] * (len(mode) - 1), alpha]).save(tmp_path / "four.png")
    else:
        picture.convert(mode).save(tmp_path / "four.png", transparency=0)
    (found,) = json.loads(run("run", "lenet-mnist", str(tmp_path / "four.png"), "--json")[1])
    assert found["labels"][0]["name"] == "4"


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize(("pixels", "arguments"), [(grey(300, 65535), []), (grey(65535, 300), ["--invert"])], ids=["light on dark", "dark on light"])
def test_grey_of_16_bits_is_scaled_and_not_clipped(run, tmp_path, suffix, pixels, arguments):
    Image.fromarray(pixels).save(tmp_path / f"deep.{suffix}")
    found = best(run, tmp_path / f"deep.{suffix}", *arguments)
    assert (found["name"], found["probability"] > 0.99) == ("4", True)


def test_it_is_the_same_as_with_8_bits(run, tmp_path):
    pixels = grey(100, 120)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray(257 * pixels).save(tmp_path / "16.png")
    assert best(run, tmp_path / "8.png") == best(run, tmp_path / "16.png")


def test_the_bytes_of_16_bits_may_be_in_the_other_order(run, tmp_path):
    big_endian = Image.frombytes("I;16B", (28, 28), grey(300, 65535).astype(">u2").tobytes())
    big_endian.save(tmp_path / "deep.tif")
    assert best(run, tmp_path / "deep.tif")["name"] == "4"


def test_a_transparent_grey_of_16_bits_is_white(run, tmp_path):
    path, transparent = tmp_path / "deep.png", b"tRNS\0\0"
    Image.fromarray(grey(300, 0)).save(path)
    # Old versions of Pillow write no such chunk; it goes behind the header.
    chunk = struct.pack(">I", 2) + transparent + struct.pack(">I", zlib.crc32(transparent))
    path.write_bytes(path.read_bytes()[:33] + chunk + path.read_bytes()[33:])
    assert best(run, tmp_path / "deep.png")["name"] == "4"


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_without_a_known_range_are_refused(run, tmp_path, kind):
    Image.fromarray(grey(0, 1).astype(kind)).save(tmp_path / "numbers.tif")
    code, out, err = run("run", "lenet-mnist", str(tmp_path / "numbers.tif"))
    assert (code, out, "expected 8 or 16 bits" in err) == (2, "", True)
