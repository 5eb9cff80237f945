"""What a run says of its privacy: the claim with its unit, relation and delta, and its limits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedehr_shared.privacy.not_covered import not_covered
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_simulations.outcome.privacy_statement import privacy_statement, spent_by_site
from fedehr_simulations.report.privacy_lines import spent_lines
from fedehr_simulations.report.report import render_report
from fedehr_simulations.report.terminal import print_verdict
from fedehr_simulations.verdict.machine import describe_machine
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName, Verdict, check_schema

LOCAL = {
    "mechanism": "local", "noise_multiplier": 2.0, "target_delta": 1e-4, "nominal_subjects": 200,
    "phases": ["finetuning"],
}  # fmt: skip
FIGURES = {
    "subject_epsilon": 1.75,
    "subject_epsilon_optimistic": 1.5,
    "subject_epsilon_pessimistic": 1.625,
}  # fmt: skip
RECORD = {
    "unit": "subject",
    "sites": {
        "north": {"num_rounds": {"finetuning": 3}, **FIGURES},
        "south": {
            "num_rounds": {"finetuning": 2}, **FIGURES, "subject_epsilon": 1.6875,
            "with_vocabulary": {**FIGURES, "subject_epsilon": 2.5, "delta": 2e-4},
        },
    },
}  # fmt: skip
"""North answered more rounds than south; west answered none that counted."""


@pytest.fixture
def verdict(make_study: Callable[..., Any]) -> Verdict:
    study = make_study(privacy=LOCAL)
    privacy = privacy_statement(study, ["north", "south", "west"], RECORD)
    return Verdict(
        study=StudyName(name=study.name, digest=study.digest),
        machine=describe_machine(),
        versions={},
        seconds=1.0,
        sites=tuple(SiteSummary(name=name, num_subjects=None, num_events=None,
                                unknown_code_share=None) for name in ("north", "south", "west")),
        arms={},
        subject_epsilon=spent_by_site(privacy, ["north", "south", "west"]),
        privacy=privacy,
    )  # fmt: skip


def test_the_verdict_keeps_the_claim_and_its_limits(verdict: Verdict, tmp_path: Path) -> None:
    check_schema(json.loads(verdict.to_json()))
    verdict.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == verdict
    assert verdict.privacy is not None
    assert (verdict.privacy.unit, verdict.privacy.delta) == ("subject", 1e-4)
    assert verdict.subject_epsilon == {"north": 1.75, "south": 1.6875, "west": None}
    south = verdict.privacy.spent["south"]
    assert (south.num_rounds, south.pessimistic) == (2, 1.625)
    assert south.with_vocabulary is not None
    assert south.with_vocabulary.delta == 2e-4
    places = {place for one in verdict.privacy.not_covered for place in one.places}
    assert {"report.num_subjects", "push-messages.clientapp_runtime_list"} <= places


def test_no_figure_is_told_without_its_meaning(verdict: Verdict) -> None:
    page = render_report(verdict, {})
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_verdict(verdict, console, Path("report.html"), Path("verdict.json"))
    terminal = console.export_text()
    console.file.close()
    assert verdict.privacy is not None
    for text in (page, terminal):
        words = " ".join(text.split())
        assert f"epsilon of {verdict.privacy.epsilon:.4g}" in words
        assert "one subject added or removed" in words
        assert "0.0001" in words
        for told in (
            "north, in 3 rounds: subject_epsilon 1.7500 by RDP, 1.5000 to 1.6250 by PLD "
            "(delta 0.0001, one subject added or removed)",
            "south, in 2 rounds: subject_epsilon 1.6875 by RDP",
            "at south: subject_epsilon 2.5000 by RDP, 1.5000 to 1.6250 by PLD (delta 0.0002,",
        ):
            assert told in words, told
        for one in verdict.privacy.not_covered:
            assert one.what in words.replace("&#39;", "'"), one.what


def test_without_noise_nothing_is_claimed(make_study: Callable[..., Any]) -> None:
    assert privacy_statement(make_study()) is None
    assert spent_by_site(None, ["north"]) == {"north": None}


def test_what_the_coordinator_covers_is_no_subject_s(make_study: Callable[..., Any]) -> None:
    central = {"mechanism": "central", "noise_multiplier": 9.0, "target_delta": 1e-3}
    kept = {"optimizer_state": "kept"}
    study = make_study(privacy=central, pretraining=kept, finetuning=kept)
    figures = {name.replace("subject", "site"): value for name, value in FIGURES.items()}
    record = {"unit": "site", "num_sites": 2, "num_rounds": 4, **figures}
    privacy = privacy_statement(study, ["north", "south"], record)
    assert privacy is not None
    assert {(own.epsilon, own.num_rounds) for own in privacy.spent.values()} == {(1.75, 4)}
    assert spent_by_site(privacy, ["north"]) == {"north": None}
    assert next(spent_lines(privacy)).endswith("(delta 0.001, one site added or removed)")


def test_a_run_s_result_names_what_is_not_covered(
    make_study: Callable[..., Any], hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(privacy=LOCAL, pretraining={"rounds": 0}, finetuning={"rounds": 1})
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    told = json.loads((run.folder / "result.json").read_text())["not_covered"]
    assert told == json.loads(json.dumps([one.to_dict() for one in not_covered(study)]))
    assert "update.<parameter>" not in {place for one in told for place in one["places"]}
    record = run.result["training_privacy"]
    spent = record["sites"]["hospital-1"]["subject_epsilon"]
    assert spent == StudyCost.of(study).subject_epsilon
    told_of = privacy_statement(study, list(record["sites"]), record)
    assert told_of is not None
    assert spent_by_site(told_of, ["hospital-1"]) == {"hospital-1": spent}
