"""Which studies an arm of nets tries: the tuning split chooses among them."""

from dataclasses import dataclass

from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.config.study import StudyConfig

PRETRAINED, SCRATCH, OWN_LABELS = "pretrained", "scratch", "own_labels"
RATE_FACTORS = (1.0, 0.3, 3.0, 10.0)
"""Pre-trained: the study's own learning rate, a lower one, and higher ones: what is best rises
with the labels, as averaging over sites shortens the steps."""
MOST_RATE = 1.0
"""That a study may have."""
PROBED_LABELS = 256
"""Up to so many labels of the federation the heads alone learn: chosen on hospitals of seed 100,
where all of the net was 2 to 4 points worse with 64 and 128 labels, 1 with 256, alike with 512."""
SCRATCH_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
"""From first weights all of the net learns, at one of these."""


@dataclass(frozen=True)
class Candidate:
    """One study to be tried, by a name."""

    name: str
    study: StudyConfig


def pretrained_candidates(study: StudyConfig, num_labels: int | None) -> tuple[Candidate, ...]:
    """The study's own fine-tuning; where it trains all of the net and labels are few, a probe.

    Args:
        study: with the model that it re-uses.
        num_labels: of the draw, over all sites; None: all.
    """
    tuning, rate = study.finetuning.tuning, study.finetuning.learning_rate
    are_few = num_labels is not None and num_labels <= PROBED_LABELS
    if tuning == "full" and are_few:
        tuning = "probe"
    rates = dict.fromkeys(min(rate * factor, MOST_RATE) for factor in RATE_FACTORS)
    return tuple(
        Candidate(f"{tuning}, rate {tried:.2g}", _tuned(study, tuning=tuning, learning_rate=tried))
        for tried in rates
    )


def scratch_candidates(study: StudyConfig) -> tuple[Candidate, ...]:
    """The same net and as many steps, without what pre-training left.

    Args:
        study: which re-uses no model and has no round of pre-training.
    """
    plain = study.model_copy(update={"lora": LoraConfig()})
    return tuple(
        Candidate(
            f"rate {rate:.2g}",
            _tuned(plain, tuning="full", learning_rate=rate, encoder_rate_factor=1.0),
        )
        for rate in SCRATCH_RATES
    )


def study_of_labels(study: StudyConfig, *, num_sites: int, fewest: int) -> StudyConfig:
    """The study as it fine-tunes with a draw of labels.

    A batch holds at least `min_cell` subjects of every site, so that few labels make fewer batches
    of an epoch and not batches of one person.

    Args:
        study: the study.
        num_sites: that hold labels of the draw.
        fewest: labels for training at the site that has fewest.
    """
    most = max(1, fewest // study.vocabulary.min_cell)
    per_epoch = min(study.finetuning.steps_per_epoch, most)
    federation = study.federation.model_copy(update={"min_sites": num_sites})
    finetuning = study.finetuning.model_copy(update={"steps_per_epoch": per_epoch})
    return study.model_copy(update={"federation": federation, "finetuning": finetuning})


def _tuned(study: StudyConfig, **changes: object) -> StudyConfig:
    return study.model_copy(update={"finetuning": study.finetuning.model_copy(update=changes)})
