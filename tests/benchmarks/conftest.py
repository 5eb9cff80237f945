"""What benchmarks share."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def record_figures() -> Callable[[str, dict[str, Any]], Path]:
    """`record_figures(name, figures)` prints and keeps them: see `record.py`."""
    file = Path(__file__).with_name("record.py")
    spec = importlib.util.spec_from_file_location("benchmark_record", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[str, dict[str, Any]], Path] = module.record_figures
    return found
