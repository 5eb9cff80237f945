"""docs/performance.md shows what was recorded, where it belongs, and nothing else."""

import json
from pathlib import Path
from typing import Any

import performance_page as page
import pytest

ROOT = Path(__file__).parents[2]
MACHINE = {
    "processor": "Abacus 9000", "num_cpus": 3,
    "versions": {"torch": "9.9", "transformers": "8.8"},
}  # fmt: skip
GPU_MACHINE = {"device": "Abacus GPU", "torch": "9.7", "memory_gib": 12.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Records in which every figure is another number."""
    step: dict[str, Any] = {"flop_formula": "two beads a row", "context_512_own_precision": "bf16"}
    number = 1_000
    for row in (*page.RATES, *page.RATIOS):
        for context in page.CONTEXTS:
            number += 1
            step[f"context_{context}_{row.key}"] = (
                number / 100 if "%" in row.form else float(number)
            )
    memory = {}
    for place, (_, key) in enumerate(page.MEMORY):
        memory[f"{key}_kilobytes_a_token"] = 5_000.0 + place
        memory[f"{key}_estimated_kilobytes_a_token"] = 6_000.0 + place
    _write(tmp_path, "step", step, MACHINE)
    _write(tmp_path, "memory", memory, MACHINE)
    return tmp_path


def _write(folder: Path, name: str, figures: dict[str, Any], machine: Any, **more: Any) -> None:
    record = {"figures": figures, "machine": machine, "commit": "0123456789abcdef", **more}
    (folder / f"{name}.json").write_text(json.dumps(record))


def _gpu_figures() -> dict[str, Any]:
    step = {
        "size": "base", "context": 512, "matmul_tflops": 777.0, "ours_events_a_second": 4_321_000.0,
        "ours_share_of_matmul": 0.37, "ours_to_bert": 6.4, "ours_to_bert_default": 7.3,
        "loader_wait_share": 0.012,
    }  # fmt: skip
    return {
        "compute": "bf16, varlen attention", "flop_formula": "", "steps": [step, {"failed": "no"}],
        "token_budgets": [{"size": "base", "token_budget": 98_304}],
        "memory": [{"size": "base", "kept_bytes_a_token": 81_000.0}],
        "largest_model": {"fits": "36 x 2048, 32 heads"},
        "largest_context": [{"size": "base", "fits": 65_536}],
    }  # fmt: skip


def _line(text: str, begin: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {begin}")]
    return line


def test_every_figure_stands_in_its_row(folder: Path) -> None:
    text = page.figures_text(folder)
    record = json.loads((folder / "step.json").read_text())["figures"]
    for row in (*page.RATES, *page.RATIOS):
        cells = [row.form.format(record[f"context_{c}_{row.key}"]) for c in page.CONTEXTS]
        line = _line(text, row.words.format(own_precision="bf16") + " |")
        assert f"| {cells[0]} | {cells[1]} |" in line
        assert all(bar in line for bar in row.bars)
    assert _line(text, "ours, base |") == "| ours, base | 5,002 | 6,002 |"
    assert text.count("Measured on Abacus 9000, 3 CPUs; torch 9.9, transformers 8.8;") == 2
    assert "commit `0123456789`." in text
    assert "two beads a row" in text


def test_what_was_not_measured_is_said_to_be(folder: Path) -> None:
    assert "Not measured yet: `make bench-gpu`" in page.figures_text(folder)
    step = json.loads((folder / "step.json").read_text())["figures"]
    del step["context_2048_to_bert"]
    _write(folder, "step", step, MACHINE)
    (folder / "memory.json").unlink()
    text = page.figures_text(folder)
    assert "| not measured | 4 and 10 |" in _line(text, "dropout off on both")
    assert _line(text, "ours, base |") == "| ours, base | not measured |  |"


def test_a_gpu_is_shown_and_what_failed_on_it_is_not(folder: Path) -> None:
    _write(folder, "gpu_step", _gpu_figures(), GPU_MACHINE)
    text = page.figures_text(folder)
    assert "Measured on Abacus GPU; torch 9.7" in text
    assert "bf16, varlen attention" in text
    assert _line(text, "events a second |") == "| events a second | 4,321,000 |"
    assert _line(text, "share of the same run's matrix rate |").endswith("| 37% |")
    assert _line(text, "share of waiting").endswith("| 1.2% |")
    assert _line(text, "kilobytes a token | 81 |")
    assert _line(text, "kilobytes a token, checkpointing | not measured |")
    assert _line(text, "token budget found | 98,304 |")
    assert "36 x 2048" in text


def test_a_quick_run_is_no_measurement(folder: Path) -> None:
    _write(folder, "gpu_step", _gpu_figures(), GPU_MACHINE, quick=True)
    assert "Abacus GPU" not in page.figures_text(folder)


def test_words_around_the_figures_stay(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text(f"# Before\n\n{page.BEGIN}\nstale words\n{page.END}\n\nAfter.\n")
    page.write_page(file, folder)
    once = file.read_text()
    page.write_page(file, folder)
    assert file.read_text() == once
    assert once.startswith("# Before\n\n")
    assert once.endswith("\n\nAfter.\n")
    assert "stale" not in once
    assert "Abacus 9000" in once


@pytest.mark.parametrize("text", ["", page.BEGIN, f"{page.END}{page.BEGIN}", 2 * page.BEGIN])
def test_a_page_without_its_marks_is_left_alone(folder: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "page.md"
    file.write_text(text)
    with pytest.raises(ValueError, match="must hold once"):
        page.write_page(file, folder)
    assert file.read_text() == text


def test_the_page_can_be_written_anew(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text((ROOT / "docs" / "performance.md").read_text())
    page.write_page(file, folder)
    assert "Abacus 9000" in file.read_text()
