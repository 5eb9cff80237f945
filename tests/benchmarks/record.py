"""Figures of a benchmark, printed and kept with the machine and the commit they are of."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("fedehr", "duckdb", "numpy", "pandas", "pyarrow", "torch", "transformers")


def record_figures(name: str, figures: dict[str, Any]) -> Path:
    """Print `figures` and write them to `runs/benchmarks/<name>.json`."""
    for key, value in figures.items():
        text = f"{value:,.4g}" if isinstance(value, float) else str(value)
        print(f"{name}: {key} = {text}")
    file = ROOT / "runs" / "benchmarks" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    record = {"figures": figures, "machine": _machine(), "commit": _commit()}
    file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return file


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
    }


def _processor() -> str:
    """Its model, where Linux tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.strip() or "unknown"
