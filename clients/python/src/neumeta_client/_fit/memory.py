"""How much memory a network needs: by how much it makes the resident set of a fresh process grow at most.

What Python and onnxruntime take before a network is opened does not count; its weights and all that opening it and single calls
need do. Linux only.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from neumeta_client._artifact import Artifact
from neumeta_client._errors import MeasurementFailed
from neumeta_client._fit.runtime import require_onnxruntime, single_call
from neumeta_client._local.verified import read_verified

STATUS = Path("/proc/self/status")
# Python itself would look for modules in the working directory first, which may hold anything.
PROGRAM = "import sys; sys.path[:] = [path for path in sys.path if path]; from neumeta_client._fit.memory import print_growth; print_growth()"
CALLS = 10


def memory_growth(artifact: Artifact, threads: int) -> int:
    """Bytes. Raises MeasurementFailed when the process fails, as when the device has too little memory for the network."""
    source = artifact.manifest.input
    arguments = [str(artifact.path), artifact.digest, source.name, json.dumps(source.shape), str(threads)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MeasurementFailed(f"The memory of {artifact.manifest.filename} was not measured: exit code {done.returncode}, {reason:.300}.")
    return int(done.stdout)


def highest_resident_set() -> int:
    """Bytes, of this process so far. Raises OSError where there is no /proc (proc(5), VmHWM)."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} does not say VmHWM")
    return 1024 * int(found[1])


def print_growth() -> None:
    """The process: print the bytes for the file, its digest, input name, shape and threads in its arguments."""
    file, digest, input_name, shape, threads = sys.argv[1:]
    require_onnxruntime()
    import numpy as np

    np.random.default_rng(0)  # It is loaded by its first use.
    before = highest_resident_set()
    call = single_call(read_verified(Path(file), digest), input_name, tuple(json.loads(shape)), int(threads))
    for _ in range(CALLS):
        call()
    sys.stdout.write(str(highest_resident_set() - before))
