"""The shape every benchmark's JSON has, and the table it prints.

`{"benchmark", "revision", "date", "machine", "config": {..., "hash"}, "rows": [...], "summary": {...}}`; every summary
figure can be worked out again from the rows.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def revision() -> str:
    """The commit that was measured, with `+` when files differ from it; empty outside a repository."""
    root = Path(__file__).parent.parent
    try:
        commit = _git(root, "rev-parse", "--short", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def write(
    out: Path | None,
    benchmark: str,
    *,
    config: Mapping[str, Any],
    rows: Sequence[Row],
    summary: Mapping[str, Any],
) -> None:
    """Print the table, and write the JSON where it is wanted.

    Args:
        out: The file; None prints only.
        benchmark: Its name.
        config: What it was run with; its hash is added.
        rows: What was measured, one row a measurement.
        summary: The figures that are compared, name -> value.
    """
    document = {
        "benchmark": benchmark,
        "revision": revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "config": {
            **config,
            "hash": hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:16],
        },
        "rows": list(rows),
        "summary": dict(summary),
    }
    console = Console()
    table = Table("measured", "value", title=f"{benchmark} {document['revision']}")
    for name, value in summary.items():
        table.add_row(
            name,
            "not measured" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value),
        )
    console.print(table)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")
        console.print(f"written to {out}")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed (nearest rank); 0 to 1."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ("git", "-C", str(root), *arguments), check=True, capture_output=True, text=True
    ).stdout.strip()
