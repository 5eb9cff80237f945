"""How often pre-training learns from each record."""

from fedehr_shared.config.optimization import PretrainingConfig


def passes_of(config: PretrainingConfig) -> float | None:
    """The passes of every site over its records; None where sites differ in it."""
    if config.minutes_per_round:
        return None
    if config.epochs_per_round:
        return config.rounds * config.epochs_per_round
    if config.batch_subjects:
        return None
    return config.rounds * config.steps_per_round / config.steps_per_epoch
