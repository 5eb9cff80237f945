"""The loss of naming held-out events, hidden by one masking that is the same for every variant."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.collate import collate, episodes
from fedehr_shared.tokens.maskable import maskable_tokens
from fedehr_shared.tokens.masking import EventMasker, MaskedBatch
from fedehr_shared.tokens.visible import VisibleBatch
from fedehr_shared.tokens.windows import epoch_windows
from fedehr_shared.vocabulary.vocabulary import Vocabulary

COMMON = MaskingConfig(
    rate=0.30, mask_share=0.80, random_share=0.10, hide_copies=True, whole_visit_share=0.20
)
"""30 % of events, 80-10-10, no copy left, whole visits in a fifth of the sequences."""
_TOKEN_BUDGET = 16_384
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class HeldOutMasks:
    """A site's held-out subjects with hidden events.

    Attributes:
        masked: all of them; None where there are fewer than `min_cell`.
        digest: of positions, targets and what is shown.
    """

    masked: MaskedBatch | None
    digest: str


def mask_held_out(
    study: StudyConfig, site: SiteFolder, data: SiteData, vocabulary: Vocabulary
) -> HeldOutMasks:
    """Mask a site's held-out subjects; the draws depend on the site's name alone."""
    splits = read_splits(site)
    is_held_out = [splits.get(subject) == HELD_OUT for subject in data.store.subject_ids.tolist()]
    rows = np.flatnonzero(is_held_out)
    if rows.size < data.min_cell:
        return HeldOutMasks(None, hashlib.sha256(b"").hexdigest())
    windows = epoch_windows(data.store, rows, study.sequence.context, 0)
    masker = EventMasker(COMMON, vocabulary.code_of_token, maskable_tokens(vocabulary))
    masked = masker.mask(
        collate(data.store, windows),
        episodes(data.store, windows),
        derive_generator("ablation", "masks", site.name),
    )
    digest = hashlib.sha256()
    for part in (masked.positions, masked.targets, masked.batch.tokens, masked.batch.hours):
        digest.update(part.numpy().tobytes())
    return HeldOutMasks(masked, digest.hexdigest())


class NamingModel:
    """Trained weights with the head that names hidden events.

    `masked_events`: in the place of the hidden events the encoder reads what the masking shows
    there. `masked_autoencoder`: it reads the visible events alone, and the decoder is told
    where the others stood: another task, neither misled by random tokens nor shown any that
    stayed.
    """

    def __init__(self, model: ModelConfig, objective: ObjectiveConfig, weights: Weights) -> None:
        """`objective`: one that names events; what the weights hold for more is not read.

        Raises:
            WireError: the weights are not of such a model.
        """
        naming = objective.model_copy(update={"contrastive_weight": 0.0})
        num_tokens = weights["encoder.token_embedding.weight"].shape[0]

        def make() -> PretrainingModel:
            return PretrainingModel(model, naming, num_tokens, untied="output.weight" in weights)

        with torch.device("meta"):
            names = {name for name, _ in make().named_parameters()}
        own = {name: weight for name, weight in weights.items() if name in names}
        self._model = build_model(make, own).eval()
        self._sees_hidden_places = objective.kind == "masked_events"

    def loss(self, masked: MaskedBatch, output_offset: NDArray[np.float32] | None = None) -> float:
        """Mean cross-entropy (nats) a hidden event.

        Args:
            masked: the subjects.
            output_offset: `[vocabulary]`, a site's own bias; None: the federation's model alone.
        """
        offset = None if output_offset is None else torch.from_numpy(output_offset)
        batch = masked if self._sees_hidden_places else VisibleBatch.of(masked)
        with torch.inference_mode():
            return sum(float(self._model(piece, offset)) for piece in batch.split(_TOKEN_BUDGET))
