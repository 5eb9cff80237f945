"""What the ledger lets be spent: one history over all studies, at the site's own delta."""

import math
import multiprocessing
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import planned_charges
from fedehr_client.ledger.entry import Reserved
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.ledger.spending import Spending
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import BudgetError
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.rdp import subject_epsilon


def _study(name: str = "noisy", rounds: int = 40) -> StudyConfig:
    return StudyConfig(
        name=name,
        finetuning={"tasks": ["death"], "rounds": rounds, "steps_per_round": 20},
        pretraining={"rounds": 0},
        privacy={
            "mechanism": "local",
            "noise_multiplier": 1.0,
            "target_delta": 1e-5,
            "finetuning": {"sample_rate": 0.05},
        },
    )


def _reserve_each(ledger: Ledger, study: StudyConfig) -> None:
    for charge in planned_charges(study):
        ledger.reserve(study, charge)


def test_rounds_are_charged_up_to_the_ceiling_and_not_beyond(tmp_path: Path) -> None:
    study = _study()
    ledger = Ledger(tmp_path, Ceiling(subject_epsilon=3.0), "north")
    charges = planned_charges(study)
    with pytest.raises(BudgetError, match="from") as refused:
        _reserve_each(ledger, study)
    num = sum(isinstance(entry, Reserved) for entry in ledger.entries())
    assert 0 < num < len(charges)
    within = subject_epsilon([NoisySteps(1.0, 0.05, 20 * num)], 1e-5)
    beyond = subject_epsilon([NoisySteps(1.0, 0.05, 20 * (num + 1))], 1e-5)
    assert ledger.spent() == within <= 3.0 < beyond
    assert f"{within:.4g}" in str(refused.value)
    assert f"{beyond:.4g}" in str(refused.value)
    assert (refused.value.code, refused.value.exit_code) == ("budget", 6)
    # What was refused was not charged, and another study of the cohort has no more.
    with pytest.raises(BudgetError):
        ledger.reserve(_study("other"), planned_charges(_study("other"))[0])
    assert ledger.spent() == within


def test_a_study_that_could_not_be_paid_to_its_end_is_refused_and_not_charged(
    tmp_path: Path,
) -> None:
    study = _study()
    ledger = Ledger(tmp_path, Ceiling(subject_epsilon=3.0), "north")
    with pytest.raises(BudgetError, match="the whole study 'noisy'"):
        ledger.require_affordable(study, planned_charges(study))
    assert ledger.entries() == ()
    short = _study("short", rounds=2)
    ledger.require_affordable(short, planned_charges(short))


def test_without_a_ceiling_nothing_is_refused_and_all_is_shown(tmp_path: Path) -> None:
    ledger, study = Ledger(tmp_path, Ceiling(), "north"), _study(rounds=2)
    for charge in 3 * planned_charges(study):
        ledger.reserve(study, charge)
    assert ledger.history() == (NoisySteps(1.0, 0.05, 120),)


def test_a_ceiling_of_nothing_refuses_the_first_round(tmp_path: Path) -> None:
    study = _study()
    with pytest.raises(BudgetError):
        Ledger(tmp_path, Ceiling(0.0), "north").reserve(study, planned_charges(study)[0])


def test_a_vocabulary_s_noise_is_of_the_same_history(tmp_path: Path, make_noisy_study: Any) -> None:
    study, ledger = make_noisy_study(), Ledger(tmp_path, Ceiling(), "north")
    for charge in planned_charges(study):
        ledger.reserve(study, charge)
    phases = [entry.phase for entry in ledger.entries() if isinstance(entry, Reserved)]
    assert phases == ["vocabulary", *["pretraining"] * 2, *["finetuning"] * 3]
    rates = {steps.sample_rate: steps.num_steps for steps in ledger.history()}
    assert rates == {1.0: 1, 0.05: 2 * 3 + 3 * 5}
    # The chance of naming is taken off the site's delta, before epsilon is reckoned.
    assert ledger.spent() == subject_epsilon(ledger.history(), 1e-5 - 0.5e-7)


def test_the_site_s_delta_rules_whatever_a_study_states(
    tmp_path: Path, make_noisy_study: Any
) -> None:
    study = make_noisy_study(vocabulary={"noise_epsilon": 1.0, "noise_delta": 1e-3})
    charge = planned_charges(study)[0]
    Ledger(tmp_path, Ceiling(), "north").reserve(study, charge)
    # Half of 1e-3 is more than the whole of the site's delta.
    assert Ledger(tmp_path, Ceiling(), "north").spent() == math.inf
    assert Ledger(tmp_path, Ceiling(None, 1e-2), "north").spent() < 3
    with pytest.raises(BudgetError, match="infinity"):
        Ledger(tmp_path, Ceiling(1_000.0), "north").reserve(study, charge)


steps_of = st.builds(
    NoisySteps, st.floats(0.4, 20), st.sampled_from([0.01, 0.05, 0.5, 1.0]), st.integers(1, 500)
)


@settings(max_examples=8, deadline=None)
@given(history=st.lists(steps_of, max_size=4), more=steps_of)
def test_epsilon_never_falls_whatever_the_order(
    history: list[NoisySteps], more: NoisySteps
) -> None:
    before = Spending(tuple(history)).subject_epsilon(1e-5)
    both = Spending(tuple(history)).plus(Spending((more,))).subject_epsilon(1e-5)
    assert both >= max(before, subject_epsilon([more], 1e-5))
    assert Spending((more,)).plus(Spending(tuple(reversed(history)))).subject_epsilon(1e-5) == both


def _reserve_all(work: Path, name: str, begin: Any) -> None:
    """Reserve until the ceiling refuses."""
    ledger = Ledger(work, Ceiling(subject_epsilon=4.0), "north")
    begin.wait()
    with suppress(BudgetError):
        _reserve_each(ledger, _study(name))


def test_two_processes_that_reserve_at_once_stay_below_the_ceiling_together(
    tmp_path: Path,
) -> None:
    spawn = multiprocessing.get_context("spawn")
    begin = spawn.Barrier(2)
    writers = [
        spawn.Process(target=_reserve_all, args=(tmp_path, name, begin))
        for name in ("east", "west")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    ledger = Ledger(tmp_path, Ceiling(4.0), "north")
    charged = [entry for entry in ledger.entries() if isinstance(entry, Reserved)]
    most = 1
    while subject_epsilon([NoisySteps(1.0, 0.05, 20 * (most + 1))], 1e-5) <= 4.0:
        most += 1
    assert len(charged) == most
    assert {entry.name for entry in charged} <= {"east", "west"}
    assert len({entry.id for entry in charged}) == most
