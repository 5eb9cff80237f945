"""Puts the recorded figures into docs/performance.md: `python performance_page.py`.

Reads `step.json`, `memory.json` and `gpu_step.json` of `runs/benchmarks`; what stands between the
page's two marks is written anew, the words around them stay. What was not measured is said to be.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- figures: begin; written by `make performance-page` -->"
END = "<!-- figures: end -->"
NOT_MEASURED = "not measured"
CONTEXTS = (512, 2_048)
_RATE = "events_a_cpu_second"


@dataclass(frozen=True)
class Row:
    """A line of the table of steps: what it says, its key a context, its form and its bars."""

    words: str
    key: str
    form: str
    bars: tuple[str, ...] = ("", "")


RATES = (
    Row("ours, fp32", f"ours_{_RATE}", "{:,.0f}"),
    Row("ours as it comes ({own_precision})", f"ours_as_it_comes_{_RATE}", "{:,.0f}"),
    Row("BERT, dropout off, padded to the context", f"bert_to_context_{_RATE}", "{:,.0f}"),
    Row("BERT as it comes, padded to the context", f"bert_default_to_context_{_RATE}", "{:,.0f}"),
)
RATIOS = (
    Row("dropout off on both, fp32", "to_bert", "{:.1f}", ("4", "10")),
    Row(
        "as it comes: ours in {own_precision}, BERT in fp32 with dropout 0.1",
        "as_it_comes_to_bert_default", "{:.1f}", ("8", "20"),
    ),
    Row("fp32 on both, BERT with dropout 0.1", "to_bert_default", "{:.1f}"),
    Row(
        "{own_precision} on both, BERT with dropout 0.1",
        "to_bert_default_both_own_precision", "{:.1f}",
    ),
    Row("dropout off, BERT padded to its longest row", "to_bert_longest", "{:.1f}"),
    Row("**equal work:** a dense head on both, dropout off", "to_bert_both_dense_head", "{:.1f}"),
    Row("**equal work:** a sparse head on both, dropout off", "to_bert_both_sparse_head", "{:.1f}"),
    Row("**ours alone:** without padding, beside padded", "to_ours_padded", "{:.1f}"),
    Row("the same, both with a dense head", "to_ours_padded_both_dense_head", "{:.1f}"),
    Row("**ours alone:** only attention padded", "to_ours_padded_attention", "{:.1f}"),
    Row("**ours alone:** sparse head, beside dense", "of_sparse_head", "{:.1f}"),
    Row("**ours alone:** last layer at hidden positions", "of_last_layer", "{:.2f}"),
    Row("**ours alone:** {own_precision}, beside fp32", "of_own_precision", "{:.1f}"),
    Row("**BERT alone:** dropout off, beside 0.1", "of_dropout_off", "{:.1f}"),
    Row("share of the same run's sgemm rate, ours in fp32", "share_of_sgemm", "{:.0%}",
        ("60 %", "60 %")),
)  # fmt: skip
MEMORY = (
    ("ours, small", "ours_small"),
    ("ours, small, checkpointing", "ours_small_checkpointing"),
    ("ours, base", "ours_base"),
    ("ours, base, checkpointing", "ours_base_checkpointing"),
    ("BERT of base's size, dropout off, a real token", "bert_base"),
    ("BERT of base's size, dropout 0.1, a real token", "bert_base_default"),
)
GPU_STEP = (
    ("events a second", "ours_events_a_second", "{:,.0f}"),
    ("share of the same run's matrix rate", "ours_share_of_matmul", "{:.0%}"),
    ("matrix rate, TFLOP/s", "matmul_tflops", "{:,.0f}"),
    ("times BERT, dropout off", "ours_to_bert", "{:.1f}"),
    ("times BERT, dropout 0.1", "ours_to_bert_default", "{:.1f}"),
    ("share of waiting for batches", "loader_wait_share", "{:.1%}"),
)
GPU_MEMORY = (
    ("kilobytes a token", "kept_bytes_a_token"),
    ("kilobytes a token, checkpointing", "checkpointing_bytes_a_token"),
)


def figures_text(folder: Path) -> str:
    """All tables from the records in `folder`, as Markdown."""
    parts = [
        _steps(_record(folder / "step.json")),
        _memory(_record(folder / "memory.json")),
        _gpu(_record(folder / "gpu_step.json")),
    ]
    return "\n\n".join(parts)


def write_page(page: Path, folder: Path) -> None:
    """Write the figures between the page's marks.

    Raises:
        ValueError: the page does not have both marks once, in order.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{page} must hold once, in order: {BEGIN} and {END}")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{figures_text(folder)}\n\n{END}{after}", encoding="utf-8")


def _record(file: Path) -> dict[str, Any] | None:
    """A record as `record.py` or the GPU's script writes it; a quick run shows nothing."""
    if not file.exists():
        return None
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return None if record.get("quick") else record


def _steps(record: dict[str, Any] | None) -> str:
    figures = record["figures"] if record else {}
    words = {"own_precision": figures.get("context_512_own_precision", "its own precision")}
    head = " | ".join(f"context {context:,}" for context in CONTEXTS)
    return "\n".join([
        "### A step on a CPU, beside BERT", "", _measured_on(record), "",
        f"| events a CPU-second, one thread | {head} |", "|---|---|---|",
        *(_step_row(row, figures, words) for row in RATES), "",
        f"| times as quick | {head} | bars |", "|---|---|---|---|",
        *(f"{_step_row(row, figures, words)} {' and '.join(filter(None, row.bars))} |"
          for row in RATIOS), "",
        f"Operations: {figures.get('flop_formula', NOT_MEASURED)}.",
    ])  # fmt: skip


def _step_row(row: Row, figures: dict[str, Any], words: dict[str, str]) -> str:
    cells = [_cell(figures, f"context_{context}_{row.key}", row.form) for context in CONTEXTS]
    return f"| {row.words.format(**words)} | {' | '.join(cells)} |"


def _memory(record: dict[str, Any] | None) -> str:
    figures = record["figures"] if record else {}
    rows = [
        f"| {words} | {_cell(figures, f'{key}_kilobytes_a_token', '{:,.0f}')} | "
        f"{_cell(figures, f'{key}_estimated_kilobytes_a_token', '{:,.0f}', missing='')} |"
        for words, key in MEMORY
    ]
    return "\n".join([
        "### Peak memory of a step on a CPU, fp32, context 512", "", _measured_on(record), "",
        "| | kilobytes a token | told before the start |", "|---|---|---|", *rows,
    ])  # fmt: skip


def _gpu(record: dict[str, Any] | None) -> str:
    title = "### On a GPU"
    if record is None:
        return f"{title}\n\nNot measured yet: `make bench-gpu` on a machine with one."
    figures = record["figures"]
    steps = [step for step in figures["steps"] if "failed" not in step]
    memory = {found["size"]: found for found in figures["memory"] if "size" in found}
    budgets = {found["size"]: found for found in figures["token_budgets"] if "size" in found}
    lengths = {found["size"]: found for found in figures["largest_context"] if "size" in found}
    head = " | ".join(f"{step['size']}, context {step['context']:,}" for step in steps)
    lines = [
        f"| {words} | {' | '.join(_cell(step, key, form) for step in steps)} |"
        for words, key, form in GPU_STEP
    ]
    sizes = list(dict.fromkeys(step["size"] for step in steps))
    of_sizes = [
        *(
            (words, [_thousandth(memory.get(size, {}), key) for size in sizes])
            for words, key in GPU_MEMORY
        ),
        ("token budget found", [_cell(budgets.get(s, {}), "token_budget", "{:,}") for s in sizes]),
        ("longest sequence that fits", [_cell(lengths.get(s, {}), "fits", "{:,}") for s in sizes]),
    ]
    largest = _cell(figures["largest_model"], "fits", "{}")
    return "\n".join([
        title, "", f"{_measured_on(record)} Computed with: {figures['compute']}.", "",
        f"| | {head} |", "|---" * (len(steps) + 1) + "|", *lines, "",
        f"| | {' | '.join(sizes)} |", "|---" * (len(sizes) + 1) + "|",
        *(f"| {words} | {' | '.join(cells)} |" for words, cells in of_sizes), "",
        f"The largest model that fits: {largest}.",
    ])  # fmt: skip


def _thousandth(figures: dict[str, Any], key: str) -> str:
    return _cell({k: v / 1e3 for k, v in figures.items() if k == key}, key, "{:,.0f}")


def _cell(figures: dict[str, Any], key: str, form: str, missing: str = NOT_MEASURED) -> str:
    return form.format(figures[key]) if key in figures else missing


def _measured_on(record: dict[str, Any] | None) -> str:
    if record is None:
        return "Not measured yet."
    machine = record["machine"]
    device = machine.get("device") or f"{machine['processor']}, {machine['num_cpus']} CPUs"
    versions = machine.get("versions", {})
    torch = machine.get("torch") or versions.get("torch", "?")
    transformers = versions.get("transformers")
    others = f", transformers {transformers}" if transformers else ""
    commit = record["commit"]
    changed = " with changes" if commit.endswith("-dirty") else ""
    return f"Measured on {device}; torch {torch}{others}; commit `{commit[:10]}`{changed}."


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--records", type=Path, default=ROOT / "runs" / "benchmarks")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    asked = parser.parse_args()
    write_page(asked.page, asked.records)
    print(f"written: {asked.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
