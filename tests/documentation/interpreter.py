"""A program: runs the Python files named on its standard input in one namespace; each prints into the file named beside it."""

import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path

names: dict[str, object] = {"__name__": "__main__"}
for line in sys.stdin:
    block, printed = map(Path, line.rstrip("\n").split("\t"))
    with printed.open("w") as file, redirect_stdout(file):
        try:
            exec(compile(block.read_text(), block, "exec"), names)
        except BaseException:
            traceback.print_exc(file=file)
            sys.exit(1)
    sys.stdout.write("done\n")
    sys.stdout.flush()
