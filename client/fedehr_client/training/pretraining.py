"""A round of masked-event pre-training on the site's training subjects."""

from fedehr_client.training.batches import PretrainingBatches, PretrainingData
from fedehr_client.training.loop import RoundContext, RoundResult, RoundTrainer
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model

__all__ = ["PretrainingData", "pretrain_round"]


def pretrain_round(context: RoundContext, data: PretrainingData) -> RoundResult:
    """Train one round; what is drawn depends on (study, phase, site, step) alone.

    Raises:
        TrainingError: a loss is NaN or infinite.
        WireError: the weights do not fit the model.
    """
    study = context.study
    model = build_model(
        lambda: PretrainingModel(study.model, study.objective, context.num_tokens), context.weights
    ).to(context.device)
    batches = PretrainingBatches(study, context.site, data)
    return RoundTrainer(model, study.pretraining, {"": 1.0}).run(context, batches, model)
