"""From runs to a page: spreads over seeds, paired differences, what is not comparable."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_shared.errors import DataError
from fedehr_simulations.ablation.differences import differences
from fedehr_simulations.ablation.figures import RunFigures, SiteLosses
from fedehr_simulations.ablation.page import MARKS, write_page
from fedehr_simulations.ablation.probed_file import read_probed, write_probed
from fedehr_simulations.ablation.record import AblationRecord, VariantChanges
from fedehr_simulations.ablation.spread import Spread
from fedehr_simulations.ablation.tables import ablation_tables
from fedehr_simulations.probe.probing import ProbedTask, ProbeRules
from fedehr_simulations.verdict.machine import Machine
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName

RULES = ProbeRules(min_cell=11, num_bootstraps=200)


def _probed(noise: float, seed: int = 0, num_draws: int = 1) -> tuple[ProbedTask, ...]:
    """One task whose scores follow the labels, `noise` apart."""
    truth = np.random.default_rng(3)
    labels = (truth.random(400) < 0.3).astype(np.float64)
    draws = np.random.default_rng([seed, 1])
    scores = tuple(labels + noise * draws.normal(size=400) for _ in range(num_draws))
    return (ProbedTask("death", None, labels, np.arange(400) // 2, scores),)


def _run(variant: str, seed: int, **changes: Any) -> RunFigures:
    values: dict[str, Any] = {
        "variant": variant, "seed": seed, "study_digest": "a", "vocabulary_digest": "b",
        "masks_digest": "c", "commit": "d",
        "masked_loss": SiteLosses(per_site={"x": 4.0, "y": 5.0}),
        "masked_loss_own_bias": None, "own_loss": None,
        "probe": tuple(task.score(RULES) for task in _probed(1.0)),
        "pretraining_loss": (5.0,), "passes": 2.0, "cpu_seconds": 10.0 + seed,
        "bytes_up_per_round": 1_500,
    }  # fmt: skip
    return RunFigures.model_validate(values | changes)


def _record(runs: list[RunFigures], names: list[str]) -> AblationRecord:
    by_variant = {name: [_probed(1.0, seed) for seed in (0, 1)] for name in names}
    return AblationRecord(
        study=StudyName(name="s", digest="0" * 64),
        machine=Machine(cpu="c", num_cores=2, memory_bytes=1, gpu=None, platform="p"),
        versions={"torch": "2"},
        masking={"rate": 0.3},
        min_cell=11,
        sites=(
            SiteSummary(name="x", num_subjects=40, num_events=9, unknown_code_share=None),
            SiteSummary(name="y", num_subjects=None, num_events=None, unknown_code_share=None),
        ),
        variants=tuple(VariantChanges(name=name, changes={}, pooled=False) for name in names),
        runs=tuple(runs),
        failures=(),
        differences=differences(by_variant, RULES),
    )


def test_a_better_probe_is_better_by_a_paired_interval() -> None:
    told = differences(
        {"first": [_probed(2.0, 0), _probed(2.0, 1)], "better": [_probed(0.7, 2)]}, RULES
    )
    (difference,) = told
    assert (difference.variant, difference.reference) == ("better", "first")
    assert difference.auroc.low is not None
    assert difference.auroc.low > 0.05


def test_the_same_probe_differs_by_nothing() -> None:
    (difference,) = differences({"a": [_probed(1.0)], "b": [_probed(1.0)]}, RULES)
    assert (difference.auroc.value, difference.auroc.low, difference.auroc.high) == (0, 0, 0)


def test_pairing_is_narrower_than_either_interval() -> None:
    (ours,), (theirs,) = _probed(1.0, 0), _probed(1.0, 0)
    nudged = tuple(s + 0.1 * np.random.default_rng(9).normal(size=400) for s in ours.scores)
    other = ProbedTask(ours.task, None, ours.labels, ours.subjects, nudged)
    (difference,) = differences({"a": [(theirs,)], "b": [(other,)]}, RULES)
    alone = theirs.score(RULES).auroc
    assert difference.auroc.high is not None
    assert difference.auroc.low is not None
    assert alone.high is not None
    assert alone.low is not None
    assert difference.auroc.high - difference.auroc.low < 0.5 * (alone.high - alone.low)


def test_probes_are_kept_whole(tmp_path: Path) -> None:
    file = tmp_path / "probed.npz"
    (first,) = _probed(1.0, num_draws=3)
    few = ProbedTask("death", 256, first.labels[:50], first.subjects[:50], (first.scores[0][:50],))
    write_probed(file, [first, few])
    assert file.stat().st_mode & 0o777 == 0o600
    for kept, given in zip(read_probed(file), (first, few), strict=True):
        assert (kept.task, kept.num_labels) == (given.task, given.num_labels)
        assert kept.score(RULES) == given.score(RULES)
        assert [s.tolist() for s in kept.scores] == [s.tolist() for s in given.scores]


@pytest.mark.parametrize("damage", [None, b"", b"PK\x03\x04 no zip"])
def test_damaged_probes_are_refused(tmp_path: Path, damage: bytes | None) -> None:
    file = tmp_path / "probed.npz"
    if damage is not None:
        file.write_bytes(damage)
    with pytest.raises(DataError, match="missing or damaged"):
        read_probed(file)


def test_spreads_leave_out_what_is_not_there() -> None:
    assert Spread.of([None, None]) is None
    one = Spread.of([None, 2.0])
    assert one is not None
    assert one.text(1) == "2.0"
    two = Spread.of([1.0, 3.0])
    assert two is not None
    assert two.text(2) == "2.00 \u00b1 1.41"


def test_rows_tell_means_and_mark_what_is_another_task() -> None:
    low, high = (
        SiteLosses(per_site={"x": 2.0, "y": None}),
        SiteLosses(per_site={"x": 3.0, "y": 7.0}),
    )
    runs = [
        _run("plain", 0), _run("plain", 1, masked_loss=high),
        _run("coded", 0, masked_loss=None, own_loss=low),
        _run("contrast", 0, masked_loss=None),
        _run("biased", 0, masked_loss_own_bias=low, passes=None),
    ]  # fmt: skip
    names = ["plain", "coded", "contrast", "biased", "broken"]
    losses, probes, apart = ablation_tables(_record(runs, names))
    rows = {row[0]: row[1:] for row in losses.rows}
    assert rows["plain"][:4] == ("2", "2", "4.750 \u00b1 0.354", "6.000 \u00b1 1.414")
    assert rows["plain"][6:] == ("10 \u00b1 1", "1.5 kB")
    assert rows["coded"][2:4] == ("2.000*", "2.000*")
    assert rows["contrast"][2:4] == ("n/a", "n/a")
    assert rows["biased"][1:6] == ("by site", "4.500", "5.000", "2.000", "2.000")
    assert rows["broken"][0] == "failed"
    assert all(len(row) == len(losses.header) for row in losses.rows)
    assert [row[0] for row in probes.rows] == [*names, "half an interval"]
    assert [row[0] for row in apart.rows] == names[1:]


def test_a_page_keeps_its_words(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{MARKS.begin}\nold\n{MARKS.end}\n\nlast\n", encoding="utf-8")
    record = _record([_run("plain", 0), _run("other", 0)], ["plain", "other"])
    write_page(record, page)
    first = page.read_text()
    assert first.startswith(f"# Title\n\n{MARKS.begin}\n")
    assert first.endswith(f"{MARKS.end}\n\nlast\n")
    assert "old" not in first
    assert "2 sites of 40, few subjects" in first
    write_page(record, page)
    assert page.read_text() == first


@pytest.mark.parametrize("text", ["# Title\n", MARKS.begin, f"{MARKS.end}\n{MARKS.begin}\n"])
def test_a_page_without_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="lacks the lines"):
        write_page(_record([_run("plain", 0)], ["plain"]), page)
    assert page.read_text() == text
