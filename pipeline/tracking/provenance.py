"""Where a comparison came from: commit, uncommitted changes, versions, command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline import databases

LIBRARIES = ("photofinish", "torch", "scikit-learn", "numpy", "pandas", "mlflow", "optuna", "matplotlib", "seaborn")

# A diff is logged for others to read, so files that usually hold secrets stay out of it.
SECRETS = (
    *("*.env", "*.env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.keystore", "id_rsa*", "id_ed25519*", "id_ecdsa*"),
    *("*secret*", "*credential*", "*password*", "*passwd*", "*token*", ".netrc", ".pgpass", ".pypirc", ".npmrc"),
)


@dataclass(frozen=True)
class Provenance:
    """What one needs to make the same comparison again."""

    begun: str  # date and time, UTC
    command: str
    commit: str  # empty outside a git repository
    diff: str  # uncommitted changes to tracked files, those that look like secrets left out
    left_out: tuple[str, ...]  # changed files whose changes are not in `diff`
    versions: dict[str, str]

    def summary(self) -> dict[str, Any]:
        """Return everything but the diff itself, for `provenance.json` and the report."""
        return {
            "begun": self.begun,
            "command": self.command,
            "commit": self.commit,
            "dirty": bool(self.diff or self.left_out),
            "left_out_of_diff": list(self.left_out),
            "versions": self.versions,
        }

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any], diff: str) -> Provenance:
        """Return what was written down by `summary`, and beside it."""
        left_out = tuple(summary["left_out_of_diff"])
        return cls(summary["begun"], summary["command"], summary["commit"], diff, left_out, dict(summary["versions"]))


def gather(folder: Path, command: str = "") -> Provenance:
    """Look around in a folder and this process, which was begun by `command`; by what was typed unless it is given."""
    changed = set(_git(folder, "diff", "--name-only", "HEAD").splitlines())
    pathspecs = [".", *(f":(exclude,icase,glob)**/{pattern}" for pattern in SECRETS)]
    shown = set(_git(folder, "diff", "--name-only", "HEAD", "--", *pathspecs).splitlines())
    return Provenance(
        begun=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        command=command or shlex.join(["photofinish", *map(databases.shown, sys.argv[1:])]),
        commit=_git(folder, "rev-parse", "HEAD").strip(),
        diff=_git(folder, "diff", "HEAD", "--", *pathspecs),
        left_out=tuple(sorted(changed - shown)),
        versions=_versions(),
    )


def _git(folder: Path, *arguments: str) -> str:
    """Output of a git command; empty where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # run from a checkout that isn't installed
            versions[library] = "not installed"
    return versions
