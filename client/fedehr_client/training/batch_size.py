"""How many tokens a step of pre-training usually has."""

import math

import numpy as np

from fedehr_client.training.batches import PretrainingData
from fedehr_shared.config.study import StudyConfig


def usual_batch_tokens(
    study: StudyConfig, data: PretrainingData, num_subjects: int | None = None
) -> int:
    """Tokens of a batch of subjects of mean length, each in as many views as the objective shows.

    With noise in pre-training it is a batch of as many subjects as Poisson sampling draws on
    average, without what pads them.

    Args:
        study: the study.
        data: the training subjects; at least one.
        num_subjects: of a batch; None: as the study has it.
    """
    phase = study.pretraining
    lengths = np.diff(data.store.offsets)[data.rows] + 1
    by_study = phase.batch_subjects or -(-lengths.size // phase.steps_per_epoch)
    if study.privacy.is_private("pretraining"):
        by_study = math.ceil(study.privacy.pretraining.sample_rate * lengths.size)
    usual = float(np.minimum(lengths, study.sequence.context).mean())
    return math.ceil(study.objective.num_views * (num_subjects or by_study) * usual)
