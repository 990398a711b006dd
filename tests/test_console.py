from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """\
from pipeline.console import counting_rows
with counting_rows(beside_rows=True) as advance:
    print("a,b")
    advance(12345)
    print("1,2")
"""


@pytest.mark.parametrize("both", [False, True])
def test_rows_are_counted_beside_the_data(both: bool, tmp_path: Path) -> None:
    """A terminal shows how many rows are done while data go to a file, untouched; where they go to it, them alone."""
    ours, theirs = pty.openpty()
    with (tmp_path / "out").open("wb") as file:
        environment = {**os.environ, "TERM": "xterm"}
        stdout = theirs if both else file
        subprocess.run([sys.executable, "-c", COUNT], check=True, stdout=stdout, stderr=theirs, env=environment)
    os.set_blocking(ours, False)
    shown = os.read(ours, 2**16).decode()
    os.close(theirs)
    os.close(ours)
    if both:
        assert shown.split() == ["a,b", "1,2"]
    else:
        assert (tmp_path / "out").read_text() == "a,b\n1,2\n"
        assert "12,345 rows" in shown
        assert "a,b" not in shown
