"""The report: self-contained, escaped, the same for the same input, and complete."""

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedehr_shared.errors import FedehrError
from fedehr_simulations.report.numbers import format_bytes, format_interval, format_seconds
from fedehr_simulations.report.report import read_progress, render_report, write_report
from fedehr_simulations.report.terminal import print_verdict
from fedehr_simulations.verdict.machine import Machine
from fedehr_simulations.verdict.membership import AttackBound, MembershipAttack, RatePoint
from fedehr_simulations.verdict.result import ArmResult, Interval, Scores, SeedScores, TaskResult
from fedehr_simulations.verdict.verdict import (
    Comparison,
    RoundBytes,
    SiteSummary,
    StudyName,
    Traffic,
    Verdict,
)

VOID = {"meta", "link", "br", "img", "hr", "input"}
WITHHELD = Interval.withheld("fewer than 7 positives")
HOSTILE = "<script>alert('$x_1$')</script>\" onload=\"x"


def _interval(value: float, half: float) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def _verdict(study: str = "demo", site: str = "north", arm: str = "federated") -> Verdict:
    score = {"auroc": _interval(0.81, 0.04), "auprc": _interval(0.4, 0.1)}
    brier = _interval(0.12, 0.01)
    known = Scores(num=90, num_positive=19, brier=brier, **score)
    hidden = Scores(
        num=None, num_positive=None, reason="few", auroc=WITHHELD, auprc=WITHHELD, brier=WITHHELD
    )
    task = TaskResult(
        num=120,
        num_positive=24,
        brier=brier,
        per_site={site: known, "small": hidden},
        per_seed=SeedScores(auroc=(0.81,)),
        oracle=0.877,
        **score,
    )
    arms = {name: ArmResult(tasks={"death": task}, pretraining_loss=()) for name in ("logistic",)}
    arms[arm] = ArmResult(tasks={"death": task}, pretraining_loss=(5.0, 4.0, 3.5))
    return Verdict(
        study=StudyName(name=study, digest="0f" * 32),
        machine=Machine(cpu="a cpu", num_cores=2, memory_bytes=8 * 10**9, gpu=None, platform="os"),
        versions={"fedehr": "0.1.0"},
        seconds=83.0,
        min_cell=7,
        sites=(
            SiteSummary(name=site, num_subjects=400, num_events=9000, unknown_code_share=0.031),
            SiteSummary(name="small", num_subjects=None, num_events=None, unknown_code_share=None),
        ),
        arms=arms,
        bytes=Traffic(
            up_per_site={site: 1500},
            down_per_site={site: 2500},
            per_round=(
                RoundBytes(phase="vocabulary", round=1, up=500, down=100),
                RoundBytes(phase="pretraining", round=1, up=1000, down=2400),
            ),
        ),
        subject_epsilon={site: None},
        comparisons=(
            Comparison(
                task="death",
                metric="auroc",
                arm=arm,
                reference="logistic",
                difference=_interval(0.01, 0.03),
                num_seeds=3,
            ),
            Comparison(
                task="death",
                metric="auprc",
                arm=arm,
                reference="logistic",
                difference=_interval(0.09, 0.03),
                num_seeds=3,
            ),
        ),
        attacks=(_attack(arm, "finetuned", None), _attack(arm, "pretrained", 1.25)),
    )


def _attack(arm: str, model: Any, epsilon: float | None) -> MembershipAttack:
    bound = None
    if epsilon is not None:
        bound = AttackBound(
            epsilon=epsilon, delta=1e-5, auroc=0.859, balanced_accuracy=0.777,
            tpr_at_1_percent=0.035, tpr_at_0_1_percent=0.004,
        )  # fmt: skip
    return MembershipAttack(
        arm=arm,
        model=model,
        attack="loss",
        num_members=700,
        num_non_members=210,
        auroc=_interval(0.613, 0.03),
        balanced_accuracy=_interval(0.571, 0.03),
        tpr_at_1_percent=Interval.withheld("fewer than 500 non-members"),
        tpr_at_0_1_percent=Interval.withheld("fewer than 5,000 non-members"),
        curve=(RatePoint(fpr=0.1, tpr=0.17, greatest_tpr=None if bound is None else 0.349),),
        bound=bound,
    )


def _progress(arm: str = "federated") -> dict[str, list[dict[str, Any]]]:
    auroc = [{"death": 0.6}, {"death": None}, {"death": 0.7}]
    return {
        arm: [
            {"event": "joined"},
            {"event": "round", "phase": "pretraining", "round": 1, "auroc": None},
            *(
                {"event": "round", "phase": "finetuning", "round": number, "auroc": figures}
                for number, figures in enumerate(auroc, start=1)
            ),
            {"event": "end"},
        ]
    }


class _Page(HTMLParser):
    """Checks that tags close in order; collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data

    def titles(self) -> list[str]:
        return [attrs["aria-labelledby"] or "" for tag, attrs in self.tags if tag == "svg"]


def test_page_is_well_formed_and_holds_every_figure() -> None:
    page = _Page(render_report(_verdict(), _progress()))
    figures = " ".join(page.titles())
    for name in ("forest", "finetuning", "pretraining", "bytes"):
        assert f"{name}-title" in figures
    assert "oracle 0.877" in page.words
    words = " ".join(page.words.split())
    for shown in ("0f" * 32, "0.810 (0.77 to 0.85)", "24 of 120", "1 min 23 s", "3.1 %", "a cpu"):
        assert shown in words, shown
    assert "orders nothing" in words


def test_nothing_is_loaded_from_anywhere() -> None:
    text = render_report(_verdict(), _progress())
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "http://" not in without_namespaces
    assert "https://" not in without_namespaces
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    for tag, attrs in _Page(text).tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed"}
        assert "src" not in attrs
        target = attrs.get("href") or attrs.get("xlink:href") or "#"
        assert target.startswith("#"), tag


def test_every_identifier_is_unique_and_every_reference_is_met() -> None:
    text = render_report(_verdict(), _progress())
    page = _Page(text)
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(names) == len(set(names))
    wanted = set(re.findall(r'(?:url\(|xlink:href=")#([^")]+)', text))
    wanted |= {part for label in page.titles() for part in label.split()}
    assert wanted
    assert wanted <= set(names)


def test_tables_are_read_out_in_order() -> None:
    page = _Page(render_report(_verdict(), _progress()))
    headers = [attrs for tag, attrs in page.tags if tag == "th"]
    assert headers
    assert all(attrs.get("scope") in {"row", "col"} for attrs in headers)


def test_attacks_stand_beside_what_epsilon_allows() -> None:
    words = " ".join(_Page(render_report(_verdict(), {})).words.split())
    for told in ("0.613 (0.58 to 0.64)", "700 members and 210 others", "epsilon 1.25", "0.859"):
        assert told in words
    # Of the model that no noise covers nothing is promised.
    assert "no bound" in words
    assert "withheld: fewer than 500 non-members" in words
    without = _verdict().model_copy(update={"attacks": ()})
    assert "Attacks on membership" not in render_report(without, {})


def test_withheld_cells_say_so() -> None:
    words = " ".join(_Page(render_report(_verdict(), {})).words.split())
    # By site: the counts and two arms, in three metrics; three cells of the sites table.
    assert words.count("withheld (fewer than 7)") == 3 * 3 + 3


def test_a_wholly_withheld_task_still_renders() -> None:
    verdict = _verdict()
    task = TaskResult(
        num=None, num_positive=None, reason="few", auroc=WITHHELD, auprc=WITHHELD, brier=WITHHELD
    )
    arms = {"federated": ArmResult(tasks={"death": task})}
    bare = verdict.model_copy(update={"arms": arms, "comparisons": (), "bytes": Traffic()})
    page = _Page(render_report(bare, {}))
    assert "withheld (fewer than 7)" in page.words
    assert not any("bytes-title" in title or "pretraining" in title for title in page.titles())


def test_an_overlap_is_never_called_an_order() -> None:
    words = " ".join(_Page(render_report(_verdict(), {})).words.split())
    assert "+0.010 (-0.020 to +0.040)" in words
    assert words.count("no order") == 1
    assert words.count("apart from 0") == 1


def test_hostile_names_stay_text() -> None:
    verdict = _verdict(study=HOSTILE, site=HOSTILE, arm=HOSTILE)
    page = _Page(render_report(verdict, _progress(HOSTILE)))
    assert not any(tag == "script" or "onload" in attrs for tag, attrs in page.tags)
    # Study twice (title and heading), then arms, sites and the figures' labels.
    assert page.words.count(HOSTILE) >= 6


def test_same_input_same_page() -> None:
    first = render_report(_verdict(), _progress())
    assert first == render_report(_verdict(), _progress())
    assert first != render_report(_verdict(study="other"), _progress())


def test_report_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    write_report(_verdict(), {}, path)
    write_report(_verdict(study="second"), {}, path)
    assert "<h1>second</h1>" in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_progress_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    events = _progress()["federated"]
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    assert read_progress(path) == events
    path.write_text('{"event": "joined"}\n{"event": "ro', encoding="utf-8")
    with pytest.raises(FedehrError, match="cannot read"):
        read_progress(path)
    path.write_text("[1]\n", encoding="utf-8")
    with pytest.raises(FedehrError, match="no JSON object"):
        read_progress(path)


@pytest.mark.parametrize("name", ["demo", "[bold]x[/]", "[/nothing]"])
def test_terminal_table_fits_eighty_columns_and_shows_names_as_they_are(name: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    long_path = Path("/a" * 60) / "report.html"
    print_verdict(_verdict(arm=name), console, long_path, Path("verdict.json"))
    text = stream.getvalue()
    assert f"  {name} " in text
    assert "0.810 (0.77-0.85)" in text
    assert f"report:  {long_path}\n" in text
    assert "verdict: verdict.json\n" in text


def test_figures_are_written_plainly() -> None:
    sizes = [format_bytes(num) for num in (0, 999, 1_000, 2_500_000)]
    assert sizes == ["0 B", "999 B", "1.0 kB", "2.5 MB"]
    assert [format_seconds(s) for s in (0.44, 59.6, 60, 3_725)] == [
        "0.4 s",
        "1 min 0 s",
        "1 min 0 s",
        "1 h 2 min",
    ]
    assert format_interval(WITHHELD, 11) == "withheld (fewer than 11)"
    assert format_interval(Interval(value=0.5, low=None, high=None, reason="one"), 11) == "0.500"
