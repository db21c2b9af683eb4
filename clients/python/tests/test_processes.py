from __future__ import annotations

import signal
import subprocess
import sys
from hashlib import sha256

PULL = """
import sys
from hashlib import sha256
from neumeta_client import Client

with Client(sys.argv[1], cache=sys.argv[2]) as client:
    artifact = client.pull("lenet-mnist", compression=0.5)
print(artifact.path, artifact.from_cache, sha256(artifact.path.read_bytes()).hexdigest())
"""


def start(service, cache) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PULL, service.url, str(cache)], stdout=subprocess.PIPE, text=True)


def expected(service, cache, *, from_cache: bool) -> str:
    hexdigest = sha256(service.make({"compression": 0.5, "precision": "fp32"})).hexdigest()
    return f"{cache}/blobs/sha256/{hexdigest}.onnx {from_cache} {hexdigest}\n"


def test_of_two_processes_that_pull_the_same_one_downloads(service, cache, files):
    service.on("artifact", service.hold)
    first = start(service, cache)
    assert service.stalled.wait(300)
    second = start(service, cache)
    # The second one has its manifest, and finds that the first one has the file.
    assert service.asked_twice.wait(300)
    service.release.set()
    printed = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert printed == [expected(service, cache, from_cache=False), expected(service, cache, from_cache=True)]
    assert service.count("artifact") == 1
    assert len(files()) == 3


def test_a_process_that_is_killed_is_continued_by_another(service, cache, files):
    service.on("artifact", service.stall)
    first = start(service, cache)
    assert service.stalled.wait(300)
    size = len(service.make({"compression": 0.5, "precision": "fp32"}))
    while not any((cache / name).stat().st_size == size // 2 for name in files() if name.endswith(".part")):
        assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=300)
    assert first.returncode == -signal.SIGKILL
    second = start(service, cache)
    assert second.communicate(timeout=300)[0] == expected(service, cache, from_cache=False)
    assert service.requests[-1][2]["range"] == f"bytes={size // 2}-"
    assert len(files()) == 3
