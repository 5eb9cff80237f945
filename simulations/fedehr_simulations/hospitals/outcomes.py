"""Outcomes: logistic in the latent severities, one interaction and age; never in a code."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.hospitals.conditions import Conditions
from fedehr_simulations.hospitals.patients import MEAN_AGE_YEARS, SD_AGE_YEARS, Patients
from fedehr_simulations.hospitals.plan import HospitalsPlan

PREVALENCE = {"death": 0.18, "long_stay": 0.22}
COIN = "coin"
"""The negative control: random labels, so that every honest score is 0.5."""
TASKS = (*PREVALENCE, COIN)
INTERACTION_EFFECT, AGE_EFFECT = 1.0, 0.5
SIGNAL_SD = 1.9
"""Standard deviation of the log-odds: sets how far the oracle gets."""


@dataclass(frozen=True)
class Outcomes:
    """By task: the true probability [N] and the label drawn from it [N]."""

    probability: dict[str, NDArray[np.float64]]
    label: dict[str, NDArray[np.bool_]]


def draw_outcomes(plan: HospitalsPlan, conditions: Conditions, patients: Patients) -> Outcomes:
    """Draw one label a patient and task from its true probability."""
    rng = plan.generator("outcomes")
    probability = {
        task: _true_probability(conditions, patients, task, prevalence)
        for task, prevalence in PREVALENCE.items()
    }
    probability[COIN] = np.full(len(patients), 0.5)
    label = {task: rng.random(len(patients)) < probability[task] for task in TASKS}
    return Outcomes(probability, label)


def _true_probability(
    conditions: Conditions, patients: Patients, task: str, prevalence: float
) -> NDArray[np.float64]:
    first, second = conditions.interaction
    severity = patients.severity
    signal = severity @ conditions.effects[task]
    signal += INTERACTION_EFFECT * severity[:, first] * severity[:, second]
    signal += AGE_EFFECT * (patients.age_years - MEAN_AGE_YEARS) / SD_AGE_YEARS
    signal = SIGNAL_SD * (signal - signal.mean()) / signal.std()
    return sigmoid(signal + find_intercept(signal, prevalence))


def find_intercept(signal: NDArray[np.float64], prevalence: float) -> float:
    """The intercept at which the mean probability is `prevalence`, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        too_many = sigmoid(signal + middle).mean() > prevalence
        low, high = (low, middle) if too_many else (middle, high)
    return (low + high) / 2


def sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance that belongs to log-odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-value)), dtype=np.float64)
