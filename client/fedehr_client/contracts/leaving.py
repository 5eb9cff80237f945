"""`leaving`: what a study's answers tell, phase by phase, from the table of disclosures."""

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.disclosure import Disclosure
from fedehr_shared.privacy.disclosures import DISCLOSURES
from fedehr_shared.wire.work import Phase

_OF_ALL_PHASES = "error"


def leaving(study: StudyConfig, phase: Phase) -> list[Disclosure]:
    """What an answer of a phase holds; errors stand in the place of any answer.

    A test holds it against the answers of real studies.
    """
    return [
        one
        for one in DISCLOSURES
        if phase in one.phases
        and one.record != _OF_ALL_PHASES
        and one.leaves(study)
        and _is_asked(one, study, phase)
    ]


def staying(study: StudyConfig, phase: Phase) -> list[Disclosure]:
    """What the study's own settings keep at the site."""
    return [
        one
        for one in DISCLOSURES
        if phase in one.phases and not one.leaves(study) and _is_asked(one, study, phase)
    ]


def _is_asked(one: Disclosure, study: StudyConfig, phase: Phase) -> bool:
    """Some numbers are told only where the study's settings need them."""
    training = study.pretraining if phase == "pretraining" else study.finetuning
    wanted_by_record = {
        "codes": not study.vocabulary.reuse,
        "histograms": not study.vocabulary.reuse,
        "noise": study.vocabulary.noise_epsilon > 0,
        "moments": training.optimizer_state == "averaged",
    }
    wanted_by_key = {
        "code_entropy": study.objective.num_views == 1,
        "tuning.<task>.loss": study.loss.task_weights == "dynamic",
        "calibration.": study.evaluation.calibration != "none",
        "uncalibrated.": study.evaluation.calibration != "none",
        "<question>/": bool(study.evaluation.subgroups),
    }
    return wanted_by_record.get(one.record, True) and all(
        is_wanted for start, is_wanted in wanted_by_key.items() if one.keys[0].startswith(start)
    )
