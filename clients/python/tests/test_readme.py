from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("millisecond_calls")
def test_the_code_in_the_readme_runs(service, cache, classifier, monkeypatch, capsys):
    service.make = lambda _: classifier()
    monkeypatch.setenv("NEUMETA_CLIENT_URL", service.url)
    monkeypatch.setenv("NEUMETA_CLIENT_CACHE", str(cache))
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(".onnx 17000 False")
    assert printed[1] == "3"
    assert printed[2:4] == ["0 60000 0.99", "0.5 17000 0.985"]
    assert re.fullmatch(r"0 1\.0\d* 1\.0\d* 0.991 True", printed[5])
    assert service.count("profile") == 1


@pytest.mark.usefixtures("millisecond_calls")
def test_the_commands_in_the_readme_run_in_order(run, service, classifier, monkeypatch, tmp_path):
    service.make = lambda _: classifier()
    Image.fromarray(np.zeros((28, 28), dtype=np.uint8)).save(tmp_path / "digit.png")
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^neumeta-client .*", README, re.MULTILINE)
    assert len(lines) > 5
    for line in lines:
        code, _, err = run(*shlex.split(line, comments=True)[1:])
        assert code == 0, f"{line}: {err}"
