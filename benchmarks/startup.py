"""How long commands take before they do anything, beside an interpreter that does nothing, and what a run imports.

python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter

COMMANDS = {
    "`python -c pass`": ["-c", "pass"],
    "`photofinish --help`": ["-m", "pipeline", "--help"],
    "`photofinish list`": ["-m", "pipeline", "list"],
    "a complaint about a file": ["-m", "pipeline", "run", "linear_vs_relu", "--set", "seeds=none"],
    "`import pipeline`": ["-c", "import pipeline"],
    "what `run` imports before its first stage": ["-c", "import pipeline.runner"],
}
SHOWN = 6  # packages


def seconds(arguments: list[str]) -> float:
    """Wall time of one process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return time.perf_counter() - begun


def imported(arguments: list[str]) -> Counter[str]:
    """Seconds spent in the modules of each package, without those they import."""
    told = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=False)
    spent: Counter[str] = Counter()
    for line in told.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|") if line.count("|") == 2 else ("", "", "")
        if own.strip().isdecimal():
            spent[name.strip().partition(".")[0]] += int(own) / 1e6
    return spent


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of which the median counts (default 7)")
    rounds = parser.parse_args().rounds
    for arguments in COMMANDS.values():
        seconds(arguments)  # compiles, and fills the cache of files
    # By turns, so that a busy moment touches all.
    times = [[seconds(arguments) for arguments in COMMANDS.values()] for _ in range(rounds)]
    medians = [sorted(column)[rounds // 2] for column in zip(*times, strict=True)]
    print("| what | seconds | above `python -c pass` |\n| --- | ---: | ---: |")
    for name, median in zip(COMMANDS, medians, strict=True):
        print(f"| {name} | {median:.2f} | {median - medians[0]:.2f} |")
    last = list(COMMANDS)[-1]
    packages = ", ".join(f"{name} {spent:.2f} s" for name, spent in imported(COMMANDS[last]).most_common(SHOWN))
    print(f"\nOf {last}: {packages}.")


if __name__ == "__main__":
    main()
