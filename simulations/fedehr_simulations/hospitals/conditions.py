"""The latent conditions: what they do to outcomes and labs, and how often a site sees them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.hospitals.plan import HospitalsPlan

NUM_CONDITIONS = 14
NUM_CHAPTERS, NUM_DRUG_CLASSES = 4, 7
NUM_LABS = 12
MIX_CONCENTRATION = 0.7
"""Dirichlet parameter of a site's case mix; smaller makes sites differ more."""
EFFECT_RANGE = (-1.1, 1.5)
"""Log-odds of death per unit of severity, over the conditions; so balanced that neither the
number of codes nor their chapters tell much."""
MISSING_SHARE = 0.3
"""Share of the conditions that the smallest site never sees."""


@dataclass(frozen=True)
class Conditions:
    """What is planted; K conditions, S sites, L labs.

    Attributes:
        chapter: [K], the chapter that holds each condition's codes.
        drug_class: [K], the class that treats each condition.
        effects: by task, [K], log-odds per unit of severity.
        interaction: two conditions whose severities multiply in every task.
        mix: [S, K], a site's share of each condition; 0 where it lacks one.
        lab_effects: [L, K], standard deviations that a unit of severity shifts a lab.
    """

    chapter: NDArray[np.int64]
    drug_class: NDArray[np.int64]
    effects: dict[str, NDArray[np.float64]]
    interaction: tuple[int, int]
    mix: NDArray[np.float64]
    lab_effects: NDArray[np.float64]


def plant_conditions(plan: HospitalsPlan) -> Conditions:
    """Draw the planted structure of `plan`."""
    rng = plan.generator("conditions")
    death = rng.permutation(np.linspace(*EFFECT_RANGE, NUM_CONDITIONS))
    # Long stays share half of what drives death and have as much of their own.
    long_stay = 0.5 * death + 0.5 * rng.permutation(death)
    mix = _case_mix(plan, rng)
    return Conditions(
        chapter=_deal(death, NUM_CHAPTERS),
        drug_class=_deal(death, NUM_DRUG_CLASSES),
        effects={"death": death, "long_stay": long_stay},
        interaction=_frequent_pair(mix),
        mix=mix,
        lab_effects=_lab_effects(rng),
    )


def _deal(effects: NDArray[np.float64], num_piles: int) -> NDArray[np.int64]:
    """Deal conditions into piles like cards, grave to harmless and back again.

    Each pile then holds grave and harmless conditions, so that backing off from a code to
    its chapter or drug class loses the answer.
    """
    order = np.argsort(effects)
    lap, seat = np.divmod(np.arange(len(effects)), num_piles)
    pile = np.empty(len(effects), dtype=np.int64)
    pile[order] = np.where(lap % 2 == 0, seat, num_piles - 1 - seat)
    return pile


def _case_mix(plan: HospitalsPlan, rng: np.random.Generator) -> NDArray[np.float64]:
    mix = rng.dirichlet(np.full(NUM_CONDITIONS, MIX_CONCENTRATION), size=plan.num_sites)
    # Dirichlet draws come close to 0; a floor keeps "rare" apart from "never seen here".
    mix = np.maximum(mix, 0.01)
    for site in range(plan.num_sites):
        share = MISSING_SHARE * site / (plan.num_sites - 1)
        missing = rng.choice(NUM_CONDITIONS, size=round(share * NUM_CONDITIONS), replace=False)
        mix[site, missing] = 0.0
    return np.asarray(mix / mix.sum(axis=1, keepdims=True), dtype=np.float64)


def _frequent_pair(mix: NDArray[np.float64]) -> tuple[int, int]:
    """The two conditions that are commonest over all sites: they meet in enough subjects."""
    first, second = np.argsort(-mix.mean(axis=0), kind="stable")[:2]
    return int(first), int(second)


def _lab_effects(rng: np.random.Generator) -> NDArray[np.float64]:
    effects = np.zeros((NUM_LABS, NUM_CONDITIONS))
    for lab in range(NUM_LABS):
        touched = rng.choice(NUM_CONDITIONS, size=3, replace=False)
        effects[lab, touched] = rng.uniform(0.4, 0.8, size=3) * rng.choice([-1.0, 1.0], size=3)
    return effects
