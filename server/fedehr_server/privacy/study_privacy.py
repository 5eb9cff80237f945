"""`study_privacy`: what a study will cost each unit, before it begins, as JSON."""

from typing import Any

from fedehr_server.privacy.run_privacy import NEIGHBORS, epsilons, unit_of, with_vocabulary
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.in_words import privacy_in_words
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_shared.privacy.vocabulary_cost import VocabularyCost

_SHOWN = (1, 2, 5)
"""Rounds whose epsilon is shown: these times the powers of ten, and the last."""


def study_privacy(study: StudyConfig) -> dict[str, Any]:
    """Noise, rate, steps and epsilon by phase and round, from the study's public numbers alone.

    Raises:
        ConfigError: no noise keeps the study within its target.
    """
    privacy, cost = study.privacy, StudyCost.of(study)
    name = f"{unit_of(study)}_epsilon"
    found: dict[str, Any] = {
        "study": study.name,
        "digest": study.digest,
        "mechanism": privacy.mechanism,
        "words": privacy_in_words(study),
    }
    vocabulary = VocabularyCost.of(study.vocabulary)
    if vocabulary is not None:
        found["vocabulary"] = {
            "subject_epsilon": study.vocabulary.noise_epsilon,
            "delta": vocabulary.delta,
            "noise_multiplier": vocabulary.steps.noise_multiplier,
        }
    if not cost.rounds:
        return found
    found |= {
        "unit": unit_of(study),
        "neighbors": NEIGHBORS,
        "delta": cost.delta,
        "target_epsilon": privacy.target_epsilon or None,
        "noise_multiplier": cost.noise_multiplier,
        "charged_multiplier": cost.charged_multiplier,
        "phases": [_phase(study, cost, phase, name) for phase in cost.rounds],
        "total": epsilons(cost.history(), cost.delta, name),
        "next_round": _next_round(cost),
    }
    if vocabulary is not None and privacy.mechanism == "local":
        found["with_vocabulary"] = with_vocabulary(cost.history(), cost.delta, vocabulary)
    return found


def _phase(study: StudyConfig, cost: StudyCost, phase: str, name: str) -> dict[str, Any]:
    steps = cost.of_round(phase)
    num_rounds = study.num_rounds(phase)
    until = cost.history_until(phase, num_rounds)
    found: dict[str, Any] = {
        "phase": phase,
        "num_rounds": num_rounds,
        "steps_per_round": steps.num_steps,
        "num_steps": num_rounds * steps.num_steps,
        "sample_rate": steps.sample_rate,
    }
    if study.privacy.mechanism == "local":
        of_phase = study.privacy.pretraining, study.privacy.finetuning
        config = of_phase[phase == "finetuning"]
        found["expected_batch_subjects"] = config.sample_rate * study.privacy.nominal_subjects
    found |= {"alone": subject_epsilon(cost.history(phase), cost.delta)}
    found["after"] = epsilons(until, cost.delta, name)
    found["rounds"] = {
        str(number): subject_epsilon(cost.history_until(phase, number), cost.delta)
        for number in _shown(num_rounds)
    }
    return found


def _shown(num_rounds: int) -> list[int]:
    tens = [10**power for power in range(len(str(num_rounds)))]
    shown = {number * ten for ten in tens for number in _SHOWN}
    return sorted({number for number in shown if number < num_rounds} | {num_rounds})


def _next_round(cost: StudyCost) -> dict[str, Any]:
    """What one more round than planned of each phase would bring the whole to."""
    found: dict[str, Any] = {}
    for phase in cost.rounds:
        after = subject_epsilon([*cost.history(), cost.of_round(phase)], cost.delta)
        found[phase] = {"after": after, "adds": after - cost.subject_epsilon}
    return found
