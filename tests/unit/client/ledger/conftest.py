"""A study with noise in every phase, and a ledger with charges of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import planned_charges
from fedehr_client.ledger.ledger import Ledger
from fedehr_shared.config.study import StudyConfig

PRIVACY: dict[str, Any] = {
    "mechanism": "local",
    "noise_multiplier": 1.0,
    "target_delta": 1e-5,
    "finetuning": {"sample_rate": 0.05},
}


@pytest.fixture
def make_noisy_study() -> Callable[..., StudyConfig]:
    def make(name: str = "noisy", **changes: Any) -> StudyConfig:
        sections: dict[str, Any] = {
            "vocabulary": {"noise_epsilon": 1.0, "noise_delta": 1e-7},
            "pretraining": {"rounds": 2, "steps_per_round": 3},
            "finetuning": {"tasks": ["death"], "rounds": 3, "steps_per_round": 5},
            "privacy": PRIVACY,
        }
        return StudyConfig(name=name, **(sections | changes))

    return make


@pytest.fixture
def charged(tmp_path: Path, make_noisy_study: Any) -> Callable[..., Ledger]:
    """A ledger below `tmp_path / "work"`, with the first charges of a study."""

    def make(
        num: int = 4, *, study: Any = None, work: Path | None = None, site: str = "north"
    ) -> Ledger:
        ledger = Ledger(work or tmp_path / "work", Ceiling(), site)
        study = study or make_noisy_study()
        for charge in planned_charges(study)[:num]:
            ledger.reserve(study, charge)
        return ledger

    return make
