"""The studies that are attacked: small, and trained far longer than is good for them.

A model that is trained until it knows its subjects by heart gives an attack its best chance: what
noise hides here, it hides anywhere.
"""

from typing import Any

from fedehr_shared.config.study import StudyConfig

TASKS = ("death", "long_stay")
DELTA = 1e-5
MIN_CELL = 5
NOMINAL_SUBJECTS = 280
_SAMPLE_RATE = 0.25
_COMMON: dict[str, Any] = {
    "vocabulary": {"min_cell": MIN_CELL, "min_sites": 1},
    "federation": {"min_sites": 1},
    "model": {"layers": 1, "hidden": 32, "heads": 2},
    "sequence": {"context": 32},
    "evaluation": {"num_bootstraps": 500},
}
_RATES = {"steps_per_epoch": 4, "learning_rate": 3e-3, "weight_decay": 0.0}


def finetuning_study(epsilon: float | None, num_rounds: int) -> StudyConfig:
    """Full tuning from first weights, the wide term included: all of it covered by epsilon."""
    finetuning = {**_RATES, "rounds": num_rounds, "steps_per_round": 10, "tasks": TASKS}
    return _study("attacked", epsilon, "finetuning", {"rounds": 0}, finetuning)


def pretraining_study(epsilon: float | None, num_rounds: int) -> StudyConfig:
    """Pre-training alone, by events whose sequence only canaries have."""
    pretraining = {**_RATES, "rounds": num_rounds, "steps_per_round": 20}
    return _study("canaries", epsilon, "pretraining", pretraining, {"rounds": 0, "tasks": TASKS})


def lora_study() -> StudyConfig:
    """A little of both phases, with adapters that are no longer zero."""
    pretraining = {**_RATES, "rounds": 2, "steps_per_round": 20}
    finetuning = {"tuning": "lora", "rounds": 1, "steps_per_round": 10, "tasks": TASKS}
    return _study("adapters", None, "finetuning", pretraining, finetuning)


def _study(
    name: str,
    epsilon: float | None,
    phase: str,
    pretraining: dict[str, Any],
    finetuning: dict[str, Any],
) -> StudyConfig:
    values = {"name": name, **_COMMON, "pretraining": pretraining, "finetuning": finetuning}
    if epsilon is not None:
        values["privacy"] = {
            "mechanism": "local",
            "phases": [phase],
            "target_epsilon": epsilon,
            "target_delta": DELTA,
            "nominal_subjects": NOMINAL_SUBJECTS,
            phase: {"sample_rate": _SAMPLE_RATE},
        }
    return StudyConfig.model_validate(values)
