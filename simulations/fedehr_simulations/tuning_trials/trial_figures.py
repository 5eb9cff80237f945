"""`TrialFigures`: what one fine-tuning came to, and the file that keeps it."""

from typing import Annotated, Literal

from pydantic import Field

from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.tuning_trials.exchanged import Exchanged
from fedehr_simulations.verdict.result import Count, Finite, Text

FIGURES_FILE = "figures.json"


class TrialFigures(KeptPart):
    """One candidate of a variant with one seed."""

    format: Literal[1] = 1
    title: Text
    seed: Count
    study_digest: Text
    vocabulary_digest: Text
    pretrained_model: Text
    """The digest of the model that it began from."""
    held_out_digest: Text
    """Of the held-out examples and their true answers."""
    commit: Text
    tuning_auroc: dict[str, Finite | None]
    """On the tuning split of all sites together; null with too few positives or negatives."""
    exchanged: Exchanged
    aggregation_error: Finite | None
    cpu_seconds: Annotated[Finite, Field(ge=0.0)]
    """Processor time of the fine-tuning, all sites and the coordinator together."""

    @property
    def tuning_score(self) -> float | None:
        """The mean over tasks of what the tuning split tells: the one number that a choice may
        look at."""
        told = [auroc for auroc in self.tuning_auroc.values() if auroc is not None]
        return sum(told) / len(told) if told else None
