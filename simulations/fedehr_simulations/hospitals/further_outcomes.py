"""Further outcomes, of the other kinds: they follow from what is planted and drawn already.

The events do not depend on them, and they are drawn after all else, from a generator of their
own: the same seed gives the same records with and without them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.task import TaskConfig
from fedehr_simulations.hospitals.outcomes import Outcomes, find_intercept, sigmoid
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.hospitals.visits import PREDICTION_HOURS, Visits

SEVERITY_CLASS, STAY_DAYS, DEATH_TIME = "severity_class", "stay_days", "death_time"
FURTHER_TASKS: Mapping[str, TaskConfig] = {
    SEVERITY_CLASS: TaskConfig(kind="multiclass", classes=("mild", "moderate", "severe")),
    STAY_DAYS: TaskConfig(kind="regression", center=5.0, scale=4.0),
    DEATH_TIME: TaskConfig(kind="time_to_event", interval_ends_hours=(48.0, 96.0, 144.0, 240.0)),
}
"""As a study's `[tasks.NAME]` describes them."""
_AT_LEAST_MODERATE, _SEVERE = 0.5, 0.2
"""Shares of the subjects."""


@dataclass(frozen=True)
class FurtherOutcomes:
    """By task, what subjects have, and the best that can be said of it beforehand.

    Attributes:
        label: [N], numbers as in `fedehr_shared.meds.labels`.
        class_probability: [N, 3], of `severity_class`.
        expected_days: [N], of `stay_days`.
    """

    label: dict[str, NDArray[np.float64]]
    class_probability: NDArray[np.float64]
    expected_days: NDArray[np.float64]


def draw_further_outcomes(
    plan: HospitalsPlan, outcomes: Outcomes, visits: Visits
) -> FurtherOutcomes:
    """The class by the log-odds of death and noise, the days as the index visit has them, the
    hours from the prediction to a death that ends it (censored where it ends otherwise)."""
    rng = plan.generator("further outcomes")
    chance = outcomes.probability["death"]
    log_odds = np.log(chance) - np.log1p(-chance)
    above = [
        sigmoid(log_odds + find_intercept(log_odds, share))
        for share in (_AT_LEAST_MODERATE, _SEVERE)
    ]
    # One draw for both bounds: who is severe is at least moderate.
    draw = rng.random(chance.size)
    hours = visits.length_hours[visits.is_index]
    left = hours - PREDICTION_HOURS
    return FurtherOutcomes(
        label={
            SEVERITY_CLASS: np.sum([draw < share for share in above], axis=0).astype(np.float64),
            STAY_DAYS: hours / 24.0,
            DEATH_TIME: np.where(outcomes.label["death"], left, -left),
        },
        class_probability=np.stack([1 - above[0], above[0] - above[1], above[1]], axis=1),
        expected_days=_expected_days(outcomes, hours),
    )


def _expected_days(outcomes: Outcomes, hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """A stay's length depends on the conditions through being long or not alone."""
    is_long, chance = outcomes.label["long_stay"], outcomes.probability["long_stay"]
    means = [float(hours[own].mean()) / 24.0 if own.any() else 0.0 for own in (~is_long, is_long)]
    return (1 - chance) * means[0] + chance * means[1]
