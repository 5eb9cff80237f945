"""Memory that really runs out: training goes on with smaller pieces, or says what to lower."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("limited_memory.py")


def _train(room_mb: int, context: int, out: Path) -> Any:
    return subprocess.run(
        [sys.executable, PROGRAM, str(room_mb), str(context), out],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("unlimited") / "update.npz"
    done = _train(0, 256, out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None"
    with np.load(out) as kept:
        return dict(kept)


@pytest.mark.parametrize("room_mb", [150, 60])
def test_the_same_weights_come_out_with_little_memory(
    unlimited: dict[str, Any], tmp_path: Path, room_mb: int
) -> None:
    done = _train(room_mb, 256, tmp_path / "update.npz")
    assert done.returncode == 0, done.stderr
    assert "the step is done again" in done.stderr
    assert 256 <= int(done.stdout) <= 4_096
    with np.load(tmp_path / "update.npz") as found:
        assert set(found) == set(unlimited)
        for name, expected in unlimited.items():
            scale = max(1e-3, float(np.abs(expected).max()))
            np.testing.assert_allclose(found[name], expected, atol=2e-2 * scale, rtol=0)
            # AdamW makes whole steps of gradients near 0, rounding and all.
            assert float(np.abs(found[name] - expected).mean()) < 1e-5 * scale


def test_one_sequence_that_does_not_fit_is_said_so(tmp_path: Path) -> None:
    done = _train(60, 8_192, tmp_path / "update.npz")
    assert done.returncode == 1
    assert "refused: memory ran out on a piece of 8,192 tokens" in done.stderr
    assert "Lower [sequence] context" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "update.npz").exists()
