"""`measure`: what trained weights are worth on held-out subjects."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_shared.config.study import StudyConfig
from fedehr_simulations.ablation.figures import SiteLosses
from fedehr_simulations.ablation.masked_loss import HeldOutMasks, NamingModel, Weights
from fedehr_simulations.probe.binary_outcomes import BinaryOutcomes
from fedehr_simulations.probe.encodings import encode_site, join_sites
from fedehr_simulations.probe.frozen_encoder import FrozenEncoder
from fedehr_simulations.probe.probing import ProbedTask, ProbeRules, probe_tasks


@dataclass(frozen=True)
class MeasuredSite:
    """A site as it is measured.

    Attributes:
        name: the site's.
        data: its records.
        masks: its held-out subjects.
        bias: `[vocabulary]`, what it kept to itself; None where there is none.
    """

    name: str
    data: SiteData
    masks: HeldOutMasks
    bias: NDArray[np.float32] | None


@dataclass(frozen=True)
class Measured:
    """As the fields of `RunFigures` of these names, and the probes behind its `probe`."""

    masks_digest: str
    masked_loss: SiteLosses | None
    masked_loss_own_bias: SiteLosses | None
    own_loss: SiteLosses | None
    probed: tuple[ProbedTask, ...]


def measure(study: StudyConfig, weights: Weights, sites: Sequence[MeasuredSite]) -> Measured:
    """Losses and probes, all on the held-out subjects.

    Raises:
        FedehrError: the weights do not fit, or a site lacks labels.
    """
    masked_loss = own_bias = own_loss = None
    if study.objective.kind != "contrastive":
        naming = NamingModel(study.model, study.objective, weights)
        losses = _losses(naming, sites, with_bias=False)
        if study.objective.kind == "masked_events":
            masked_loss = losses
        else:
            own_loss = losses
        if masked_loss is not None and all(site.bias is not None for site in sites):
            own_bias = _losses(naming, sites, with_bias=True)
    return Measured(
        masks_digest=_digest(sites),
        masked_loss=masked_loss,
        masked_loss_own_bias=own_bias,
        own_loss=own_loss,
        probed=_probe(study, weights, sites),
    )


def probe_rules(study: StudyConfig) -> ProbeRules:
    """How the probes of an ablation are scored."""
    return ProbeRules(study.vocabulary.min_cell, study.evaluation.num_bootstraps)


def _losses(naming: NamingModel, sites: Sequence[MeasuredSite], with_bias: bool) -> SiteLosses:
    per_site: dict[str, float | None] = {}
    for site in sites:
        masked, bias = site.masks.masked, site.bias if with_bias else None
        per_site[site.name] = None if masked is None else naming.loss(masked, bias)
    return SiteLosses(per_site=per_site)


def _probe(
    study: StudyConfig, weights: Weights, sites: Sequence[MeasuredSite]
) -> tuple[ProbedTask, ...]:
    num_tokens = weights["encoder.token_embedding.weight"].shape[0]
    encoder = FrozenEncoder(study.model, num_tokens, weights)
    encodings = join_sites([encode_site(encoder, site.data) for site in sites])
    outcomes = BinaryOutcomes.of(study)
    return probe_tasks(outcomes.asked(encodings), outcomes.names, probe_rules(study))


def _digest(sites: Sequence[MeasuredSite]) -> str:
    digest = hashlib.sha256()
    for site in sites:
        digest.update(f"{site.name}:{site.masks.digest};".encode())
    return digest.hexdigest()
