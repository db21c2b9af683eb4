from __future__ import annotations

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


def test_two_processes_that_pull_the_same_both_get_a_good_file(service, cache, files):
    # Neither gets its bytes before both have asked for them.
    service.on("artifact", service.meet, service.meet)
    command = [sys.executable, "-c", PULL, service.url, str(cache)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    hexdigest = sha256(service.make({"compression": 0.5, "precision": "fp32"})).hexdigest()
    assert printed == [f"{cache}/blobs/sha256/{hexdigest}.onnx False {hexdigest}\n"] * 2
    assert service.count("artifact") == 2
    assert [name for name in files() if name.startswith("blobs")] == [f"blobs/sha256/{hexdigest}.onnx"]
