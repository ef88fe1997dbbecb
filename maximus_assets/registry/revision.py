"""Which revision of this code is running: git's when it runs from a clone, else the installed version."""

import subprocess
from importlib.metadata import version
from pathlib import Path


def code_revision() -> str:
    """`git:<commit>` (with `+changes` when the clone differs from it) or `release:<version>`."""
    folder = Path(__file__).resolve().parents[2]
    if (folder / ".git").exists():
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        if commit:
            return f"git:{commit}" + ("+changes" if _git(folder, "status", "--porcelain", "-uno") else "")
    return f"release:{version('maximus')}"


def _git(folder: Path, *words: str) -> str:
    """What git says, empty when it is not installed or fails: a revision is worth noting, not worth stopping for."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
