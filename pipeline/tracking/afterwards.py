"""Say KILLED once more after `mlflow run` has gone.

`mlflow run` means to leave a run alone that its command has closed already, but compares the status's name with its
numbers (mlflow 3.17, `projects/__init__.py`, `_maybe_set_run_terminated`), finds it open every time, and writes FAILED
over KILLED. So an interrupted command leaves this small process behind: it waits for `mlflow run` to end, writes the
status again, and ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

LONGEST_WAIT = 60.0  # seconds


def set_status_afterwards(run_id: str, status: str) -> None:
    """Start the process that waits for this one's parent, `mlflow run`, to end."""
    package_root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    subprocess.Popen(
        [sys.executable, "-m", "pipeline.tracking.afterwards", run_id, status, str(os.getppid())],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what interrupts its parent doesn't reach it
    )


def main(run_id: str, status: str, process: int) -> None:
    """Wait for a process to end, then set a run's status."""
    from pipeline.processes import look
    from pipeline.tracking.store import connect

    client = connect()
    end = time.monotonic() + LONGEST_WAIT
    while look(process) is not None and time.monotonic() < end:
        time.sleep(0.1)
    client.set_terminated(run_id, status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
