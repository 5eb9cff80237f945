"""What each task is, and how well the oracle does, who knows what was planted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.hospitals.further_outcomes import (
    DEATH_TIME,
    FURTHER_TASKS,
    SEVERITY_CLASS,
    STAY_DAYS,
)
from fedehr_simulations.hospitals.outcomes import COIN
from fedehr_simulations.hospitals.population import Hospitals

DESCRIPTIONS = {
    "death": "death in the index visit, predicted 24 hours into it",
    "long_stay": "index visit longer than 7 days, predicted 24 hours into it",
    SEVERITY_CLASS: "how ill, in three classes, predicted 24 hours into the index visit",
    STAY_DAYS: "days of the index visit, predicted 24 hours into it",
    DEATH_TIME: "hours from the prediction to a death in the index visit; censored at its end",
    COIN: "negative control: a coin toss, so that an honest AUROC is 0.5",
}


def describe_task(made: Hospitals, task: str) -> dict[str, float | None]:
    """Of a binary task: how frequent it is, and the oracle's AUROC."""
    held_out = made.is_held_out
    label, probability = made.outcomes.label[task], made.outcomes.probability[task]
    return {
        "prevalence": round(float(label.mean()), 4),
        "oracle_auroc": _auroc(label, probability),
        "oracle_auroc_held_out": _auroc(label[held_out], probability[held_out]),
    }


def describe_further(made: Hospitals) -> dict[str, dict[str, Any]]:
    """Each as a study describes it; the oracle is an AUROC a class, or a share of variance."""
    label, further = made.further.label, made.further
    classes = label[SEVERITY_CLASS]
    days = label[STAY_DAYS]
    error = days - further.expected_days
    oracle: dict[str, dict[str, Any]] = {
        SEVERITY_CLASS: {
            "oracle_auroc_by_class": [
                _auroc(classes == number, further.class_probability[:, number])
                for number in range(further.class_probability.shape[1])
            ]
        },
        STAY_DAYS: {
            "oracle_r2": round(1 - float(np.mean(error**2) / days.var()), 4),
        },
        DEATH_TIME: {"event_share": round(float((label[DEATH_TIME] > 0).mean()), 4)},
    }
    return {
        task: {
            "description": DESCRIPTIONS[task],
            **config.model_dump(mode="json", exclude_defaults=True),
            **oracle[task],
        }
        for task, config in FURTHER_TASKS.items()
    }


def _auroc(label: NDArray[np.bool_], probability: NDArray[np.float64]) -> float | None:
    """The oracle's AUROC; None where only one class occurs."""
    from sklearn.metrics import roc_auc_score

    if label.all() or not label.any():
        return None
    return round(float(roc_auc_score(label, probability)), 4)
