"""`RunFigures`: what one variant and seed came to, and the file that keeps it."""

from typing import Annotated, Literal

from pydantic import Field

from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.probe.probing import ProbeScore
from fedehr_simulations.verdict.result import Count, Finite, Part, Text

FIGURES_FILE = "figures.json"


class SiteLosses(Part):
    """Mean loss (nats) a hidden event of the held-out subjects."""

    per_site: dict[str, Finite | None]
    """Null where a site has fewer held-out subjects than `min_cell`."""

    @property
    def told(self) -> list[float]:
        """The sites' losses that there are."""
        return [loss for loss in self.per_site.values() if loss is not None]

    @property
    def mean(self) -> float | None:
        """Every site counts the same; None where no site's loss may be told."""
        return sum(self.told) / len(self.told) if self.told else None

    @property
    def worst(self) -> float | None:
        """The worst site's."""
        return max(self.told, default=None)


class RunFigures(KeptPart):
    """One variant, one seed."""

    format: Literal[1] = 1
    variant: Text
    seed: Count
    study_digest: Text
    vocabulary_digest: Text
    masks_digest: Text
    """Of every position, target and shown token that the masked loss was taken on."""
    commit: Text
    masked_loss: SiteLosses | None
    """At the common masking; null where the model has no head that names masked events."""
    masked_loss_own_bias: SiteLosses | None
    """The same with the private bias that each site kept; null where there is none."""
    own_loss: SiteLosses | None
    """Of an objective that names events in another way, by its own rules: to be compared with
    nothing but itself."""
    probe: tuple[ProbeScore, ...]
    pretraining_loss: tuple[Finite | None, ...]
    """The federation's loss, one a round; None where the study withholds it."""
    passes: Finite | None
    """How often each record was learnt from; null where that depends on the site."""
    cpu_seconds: Annotated[Finite, Field(ge=0.0)]
    """Processor time of the training, all sites and the coordinator together."""
    bytes_up_per_round: Count
    """Payload of one site's answer to one round of pre-training, the mean over both."""
