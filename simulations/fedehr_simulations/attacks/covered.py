"""`bound_of`: what epsilon says of an attack on a study's model, where it says anything."""

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_simulations.attacks.bound import PrivacyBound
from fedehr_simulations.attacks.model_told import AttackedModel


def bound_of(study: StudyConfig, model: AttackedModel) -> PrivacyBound | None:
    """The bound of the training that made a model; None where a part of it had no noise.

    Pre-training alone made the pre-trained model, both phases the fine-tuned one. The vocabulary,
    which the cell rule protects, is taken as known.

    Raises:
        ConfigError: no noise keeps the study within its target.
    """
    trained = {"pretraining": study.pretraining.rounds, "finetuning": study.finetuning.rounds}
    if model == "pretrained":
        del trained["finetuning"]
    phases = [phase for phase, rounds in trained.items() if rounds]
    if study.pretraining.reuse or not all(map(study.privacy.is_private, phases)):
        return None
    cost = StudyCost.of(study)
    history = [steps for phase in phases for steps in cost.history(phase)]
    return PrivacyBound(subject_epsilon(history, cost.delta), cost.delta)
