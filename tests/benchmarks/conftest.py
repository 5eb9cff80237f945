"""What benchmarks share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Tests are imported by their files' names alone: this folder's other modules are found so.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def record_figures() -> Callable[[str, dict[str, Any]], Path]:
    """`record_figures(name, figures)` prints and keeps them: see `record.py`."""
    import record

    return record.record_figures


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The corpus of the throughput benchmarks. Read only."""
    from corpus import make_corpus

    return make_corpus(tmp_path_factory.mktemp("corpus"))
