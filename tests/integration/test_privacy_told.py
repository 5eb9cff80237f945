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
from fedehr_simulations.report.report import render_report
from fedehr_simulations.report.terminal import print_verdict
from fedehr_simulations.verdict.machine import describe_machine
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName, Verdict, check_schema

LOCAL = {
    "mechanism": "local", "noise_multiplier": 2.0, "target_delta": 1e-4, "nominal_subjects": 200,
    "phases": ["finetuning"],
}  # fmt: skip


@pytest.fixture
def verdict(make_study: Callable[..., Any]) -> Verdict:
    study = make_study(privacy=LOCAL)
    return Verdict(
        study=StudyName(name=study.name, digest=study.digest),
        machine=describe_machine(),
        versions={},
        seconds=1.0,
        sites=(SiteSummary(name="north", num_subjects=None, num_events=None,
                           unknown_code_share=None),),
        arms={},
        subject_epsilon=spent_by_site(study, ["north"]),
        privacy=privacy_statement(study),
    )  # fmt: skip


def test_the_verdict_keeps_the_claim_and_its_limits(verdict: Verdict, tmp_path: Path) -> None:
    check_schema(json.loads(verdict.to_json()))
    verdict.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == verdict
    assert verdict.privacy is not None
    assert (verdict.privacy.unit, verdict.privacy.delta) == ("subject", 1e-4)
    assert verdict.subject_epsilon["north"] == verdict.privacy.epsilon > 0
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
        for one in verdict.privacy.not_covered:
            assert one.what in words.replace("&#39;", "'"), one.what


def test_without_noise_nothing_is_claimed(make_study: Callable[..., Any]) -> None:
    assert privacy_statement(make_study()) is None
    assert spent_by_site(make_study(), ["north"]) == {"north": None}


def test_a_run_s_result_names_what_is_not_covered(
    make_study: Callable[..., Any], hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(privacy=LOCAL, pretraining={"rounds": 0}, finetuning={"rounds": 1})
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    told = json.loads((run.folder / "result.json").read_text())["not_covered"]
    assert told == json.loads(json.dumps([one.to_dict() for one in not_covered(study)]))
    assert "update.<parameter>" not in {place for one in told for place in one["places"]}
    spent = run.result["training_privacy"]["sites"]["hospital-1"]["subject_epsilon"]
    assert spent == StudyCost.of(study).subject_epsilon
