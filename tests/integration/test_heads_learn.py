"""Whole studies with every kind of head, at sites that hold different tasks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_server.phases.task_sums import LABELS
from fedehr_shared.errors import MissingTaskError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.wire.codec.record import decode
from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.further_outcomes import FURTHER_TASKS
from fedehr_simulations.hospitals.plan import HospitalsPlan

TASKS = ("death", "severity_class", "stay_days", "death_time")
KINDS = {name: task.model_dump(exclude_defaults=True) for name, task in FURTHER_TASKS.items()}
LACKING = "stay_days"
ROUNDS = 10


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> FederationFolder:
    """Three hospitals; the second has no labels of one task."""
    path = tmp_path_factory.mktemp("kinds") / "hospitals"
    write_hospitals(path, HospitalsPlan(num_subjects=1_200, num_sites=3, seed=1))
    found = FederationFolder(path)
    found.sites[1].labels_file(LACKING).unlink()
    return found


@pytest.fixture(scope="module")
def finished(
    federation: FederationFolder,
    make_study: Any,
    run_study_in_process: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    study = make_study(
        model={"hidden": 32, "pooling": "attention"},
        pretraining={"rounds": 0},
        finetuning={"tasks": TASKS, "rounds": ROUNDS, "steps_per_round": 8, "steps_per_epoch": 8},
        tasks=KINDS,
        loss={"task_weights": "dynamic", "class_weights": "balanced"},
        exchange={"dtype": "fp32"},
    )
    return run_study_in_process(study, federation.sites, tmp_path_factory.mktemp("run"))


def _told(run: Any, direction: str, round_number: int) -> list[Any]:
    found = [
        sent.payload
        for sent in run.messages
        if (sent.phase, sent.round, sent.direction) == ("finetuning", round_number, direction)
    ]
    return (
        found
        if direction == "down"
        else sorted(found, key=lambda payload: str(payload.values["report"]["site"]))
    )


def test_every_kind_of_head_learns(finished: Any) -> None:
    """A net this small overfits, so that the losses are those of training."""
    first, last = (
        float(np.mean([p.values["report"]["loss"] for p in _told(finished, "up", number)]))
        for number in (1, ROUNDS)
    )
    assert last < 0.97 * first
    before, after = (
        decode(_told(finished, "down", number)[0].tensors["model"]) for number in (1, ROUNDS)
    )
    for number, task in enumerate(TASKS):
        name = f"heads.{number}.weight"
        moved = np.abs(after[name] - before[name]).max(axis=1)
        assert bool(np.all(moved > np.abs(before[name]).max(axis=1))), task


def test_a_site_without_a_task_moves_its_head_by_nothing_and_dilutes_no_mean(
    finished: Any,
) -> None:
    before, after = (
        decode(_told(finished, "down", number)[0].tensors["model"]) for number in (1, 2)
    )
    answers = _told(finished, "up", 1)
    updates = [decode(payload.tensors["update"]) for payload in answers]
    place, names = TASKS.index(LACKING), ("heads.{}.weight", "heads.{}.bias")
    for number in range(len(TASKS)):
        weights = [float(p.values["metrics"].get(f"{LABELS}{TASKS[number]}", 0.0)) for p in answers]
        assert (weights[1] == 0.0) == (number == place)
        for name in (template.format(number) for template in names):
            expected = np.average([own[name] for own in updates], axis=0, weights=weights)
            np.testing.assert_allclose(after[name] - before[name], expected, atol=1e-6)
            assert bool(np.any(updates[1][name])) == (number != place)
    # Its columns of the wide term; what all tasks share moves all the same.
    column = 1 + 3
    assert not updates[1]["wide.terms.weight"][:, column].any()
    assert updates[1]["wide.terms.weight"][:, column - 1].any()
    assert updates[1]["encoder.norm.weight"].any()


def test_the_coordinator_tells_all_sites_alike_and_never_counts(finished: Any) -> None:
    for number in (1, 2, 3, ROUNDS):
        told = [payload.values["tasks"] for payload in _told(finished, "down", number)]
        assert len(told) == 3
        assert told[0] == told[1] == told[2]
        assert sum(told[0]["weights"]) == pytest.approx(1.0, abs=1e-3)
        for name in ("death", "severity_class"):
            shares = told[0][f"class_shares.{name}"]
            assert sum(shares) == pytest.approx(1.0, abs=0.01)
            assert all(share == round(share, 3) for share in shares)
        assert (len(set(told[0]["weights"])) == 1) == (number <= 2)


def test_no_label_count_below_the_cell_leaves(finished: Any) -> None:
    seen = 0
    for number in range(1, ROUNDS + 1):
        for payload in _told(finished, "up", number):
            counts = {
                key: float(value)
                for key, value in payload.values["metrics"].items()
                if key.startswith(LABELS)
            }
            assert all(num >= 5 and num % 5 == 0 for num in counts.values())
            seen += len(counts)
    assert seen >= ROUNDS * 8


def test_uncertainty_learns_its_weights_and_they_travel_with_the_heads(
    federation: FederationFolder, make_study: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(
        pretraining={"rounds": 0},
        finetuning={"tasks": TASKS, "tuning": "probe", "learning_rate": 0.05},
        tasks=KINDS,
        loss={"task_weights": "uncertainty", "kind": "focal", "label_smoothing": 0.05},
    )
    run = run_study_in_process(study, federation.sites, tmp_path)
    sent = decode(_told(run, "down", 2)[0].tensors["model"])
    assert sent["uncertainty.log_variances"].all()
    own = decode(_told(run, "up", 2)[1].tensors["update"])["uncertainty.log_variances"]
    assert (own != 0).tolist() == [task != LACKING for task in TASKS]


def test_a_task_that_no_site_may_tell_of_is_named(
    federation: FederationFolder, make_study: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(finetuning={"tasks": ["death", "sepsis"]})
    with pytest.raises(MissingTaskError, match="'sepsis'"):
        run_study_in_process(study, federation.sites, tmp_path)
