"""The scratch arm: the federated study without pre-training, from the same first weights."""

from fedehr_shared.config.study import StudyConfig

SCRATCH = "scratch"


def without_pretraining(study: StudyConfig) -> StudyConfig:
    """The same study with no round of pre-training."""
    pretraining = study.pretraining.model_copy(update={"rounds": 0, "reuse": ""})
    return study.model_copy(update={"pretraining": pretraining})
