"""`privacy_in_words`: what a study promises each unit, in sentences that stand alone."""

import math
from typing import TYPE_CHECKING

from fedehr_shared.privacy.study_cost import StudyCost

if TYPE_CHECKING:
    from fedehr_shared.config.study import StudyConfig

_MOST_TOLD = 100.0
"""Above it the odds have no meaning for a reader."""


def privacy_in_words(study: "StudyConfig") -> str:
    """What the study's noise promises, to whom, and what it leaves out.

    Raises:
        ConfigError: no noise keeps the study within its target.
    """
    if study.privacy.mechanism == "none":
        return "The study adds no noise to training: nothing about a subject is bounded by epsilon."
    cost = StudyCost.of(study)
    epsilon = cost.subject_epsilon
    is_local = study.privacy.mechanism == "local"
    unit, what = ("subject", "gradients") if is_local else ("site", "updates")
    adds = "Each site adds" if is_local else "The coordinator, which sees every update, adds"
    parts = [
        f"{adds} noise to the sum of clipped {what} in {' and '.join(cost.rounds)}.",
        f"All {cost.num_steps} noisy steps together have an epsilon of {epsilon:.4g} at most "
        f"(delta {cost.delta:g}, one {unit} added or removed){_odds(epsilon)}.",
        _left_out(study, cost),
    ]
    return " ".join(part for part in parts if part)


def _odds(epsilon: float) -> str:
    factor = math.exp(min(epsilon, _MOST_TOLD))
    if factor > _MOST_TOLD:
        return ", which is little protection by itself: the odds may change 100 times and more"
    return (
        f": for whoever sees them the odds that one took part change {factor:.3g} times at most, "
        "but for a chance of about delta"
    )


def _left_out(study: "StudyConfig", cost: StudyCost) -> str:
    rounds = {"pretraining": study.pretraining.rounds, "finetuning": study.finetuning.rounds}
    without = [phase for phase, number in rounds.items() if number and phase not in cost.rounds]
    vocabulary = (
        "the vocabulary and label counts, whose noise is charged apart"
        if study.vocabulary.noise_epsilon
        else "the vocabulary and label counts (cell rule alone)"
    )
    told = "" if study.privacy.metrics == "withheld" else ", the numbers told beside an update"
    phases = f"the updates of {' and '.join(without)}, " if without else ""
    begun = "the earlier model that it begins from, " if study.pretraining.reuse else ""
    return (
        f"It does not cover {begun}{phases}{vocabulary}, the number of training subjects (cell "
        f"rule alone){told} and the evaluation: see docs/privacy.md."
    )
