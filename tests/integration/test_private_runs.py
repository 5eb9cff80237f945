"""Runs with noise at the coordinator or at the sites: what their record says of epsilon."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.ledger import Ledger
from fedehr_server.privacy.run_privacy import RunPrivacy
from fedehr_shared.errors import BudgetError
from fedehr_shared.privacy.pld import epsilon_bounds
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_shared.wire.work import WorkId

KEPT: dict[str, Any] = {"optimizer_state": "kept", "rounds": 1}
CENTRAL: dict[str, Any] = {
    "mechanism": "central", "target_epsilon": 20.0, "target_delta": 5e-3,
    "max_update_norm": 0.5,
}  # fmt: skip
LOCAL: dict[str, Any] = {
    "mechanism": "local", "target_epsilon": 2.0, "target_delta": 1e-4, "nominal_subjects": 100,
}  # fmt: skip


def _result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def _rounds(folder: Path) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    return [
        e for e in events if e["event"] == "round" and e["phase"] in {"pretraining", "finetuning"}
    ]


def test_a_run_with_central_noise(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(privacy=CENTRAL, pretraining=KEPT, finetuning=KEPT)
    runs = [
        run_study_in_process(study, hospitals.sites[:2], tmp_path / name) for name in ("a", "b")
    ]
    told = _result(runs[0].folder)["training_privacy"]
    assert (told["unit"], told["neighbors"]) == ("site", "add_or_remove_one")
    assert (told["num_sites"], told["num_rounds"]) == (2, 2)
    assert told["delta"] == CENTRAL["target_delta"]
    cost = StudyCost.of(study)
    assert told["site_epsilon"] == cost.subject_epsilon <= 20
    assert told["site_epsilon_optimistic"] <= told["site_epsilon_pessimistic"] <= 20
    assert [e["site_epsilon"] for e in _rounds(runs[0].folder)] == sorted(
        {subject_epsilon(cost.history_until(p, 1), cost.delta) for p in cost.rounds}
    )
    # The study's seed is the same, and the numbers are not, but for what rounding brings together.
    one, other = (run.latest_weights for run in runs)
    same = sum(int((one[name] == other[name]).sum()) for name in one)
    assert same < 0.01 * sum(value.size for value in one.values())


def test_a_run_stops_before_a_release_that_its_target_does_not_hold(make_study: Any) -> None:
    study = make_study(privacy=CENTRAL, pretraining=KEPT, finetuning=KEPT)
    privacy = RunPrivacy(study)
    privacy.begin(2)
    for phase in ("pretraining", "finetuning"):
        assert privacy.open_round(WorkId(study.digest, phase, 1, 1)) is not None
    with pytest.raises(BudgetError, match="round 2 of finetuning would bring"):
        privacy.open_round(WorkId(study.digest, "finetuning", 2, 1))


def test_a_record_says_what_each_site_took_part_in(make_study: Any) -> None:
    study = make_study(privacy=LOCAL, vocabulary={"noise_epsilon": 1.0, "noise_delta": 1e-5})
    privacy = RunPrivacy(study)
    privacy.begin(2)
    training = {
        "pretraining": {"a": {"num_rounds": 2.0}, "b": {"num_rounds": 1.0}},
        "finetuning": {"a": {"num_rounds": 2.0}},
    }
    told, cost = privacy.summary(training), StudyCost.of(study)
    whole, part = told["sites"]["a"], told["sites"]["b"]
    assert whole["subject_epsilon"] == cost.subject_epsilon
    assert part["num_rounds"] == {"pretraining": 1, "finetuning": 0}
    assert part["subject_epsilon"] == subject_epsilon(cost.history("pretraining", 1), cost.delta)
    assert part["subject_epsilon"] < whole["subject_epsilon"] <= 2
    bounds = epsilon_bounds(cost.history(), cost.delta)
    assert whole["subject_epsilon_optimistic"] == bounds.optimistic
    assert whole["subject_epsilon_pessimistic"] == bounds.pessimistic <= whole["subject_epsilon"]
    both = whole["with_vocabulary"]
    assert both["delta"] == pytest.approx(1e-4 + 1e-5)
    assert whole["subject_epsilon"] < both["subject_epsilon"] < whole["subject_epsilon"] + 1


def test_the_coordinators_estimate_is_what_the_sites_ledgers_charge(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(
        privacy=LOCAL | {"clipping_quantile": 0.5},
        vocabulary={"noise_epsilon": 50.0, "noise_delta": 1e-3, "min_sites": 1},
        federation={"min_sites": 1},
        pretraining={"rounds": 1},
        finetuning={"rounds": 1, "tuning": "probe"},
    )
    run = run_study_in_process(study, hospitals.sites[:1], tmp_path)
    told = _result(run.folder)["training_privacy"]["sites"]
    assert list(told) == [hospitals.sites[0].name]
    for site, own in told.items():
        both = own["with_vocabulary"]
        ceiling = Ceiling(subject_delta=both["delta"])
        spent = Ledger(tmp_path / "work" / site, ceiling, site).spent()
        assert spent == pytest.approx(both["subject_epsilon"], rel=1e-9)
    assert _rounds(run.folder)[-1]["subject_epsilon"] <= LOCAL["target_epsilon"]


def test_a_study_without_noise_says_nothing(finished_study: Any) -> None:
    assert _result(finished_study.folder)["training_privacy"] == {}
    assert not any("epsilon" in key for event in _rounds(finished_study.folder) for key in event)
