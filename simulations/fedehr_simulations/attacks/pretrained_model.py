"""How sure a pre-trained model is of the events that subjects had."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fedehr_client.answers.site_data import SiteData
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.collate import collate, episodes
from fedehr_shared.tokens.maskable import has_maskable, maskable_tokens
from fedehr_shared.tokens.masking import EventMasker, MaskedBatch
from fedehr_shared.tokens.windows import epoch_windows
from fedehr_simulations.attacks.candidates import CANDIDATE_SPLITS, SubjectConfidences
from fedehr_simulations.attacks.subject_means import subject_means
from fedehr_simulations.outcome.finished_run import read_vocabulary, site_location

NUM_MASKINGS = 2
"""Each subject is asked about so often."""
_TOKENS_AT_ONCE = 16_384


def pretrained_confidences(
    study: StudyConfig,
    run_folder: Path,
    site: SiteFolder,
    work: Path,
    num_maskings: int = NUM_MASKINGS,
) -> SubjectConfidences:
    """Ask a run's pre-trained weights about the subjects of a site's train and held-out split.

    The loss is the mean of a subject's hidden events, of maskings as the study's own. Which events
    are hidden depends on the site's name alone, so that all models are asked the same. The
    confidence is the loss's negative.

    Args:
        study: the study that ran, with the objective `masked_events`.
        run_folder: where it left its vocabulary and checkpoints.
        site: whose subjects.
        work: scratch for the token store.
        num_maskings: how often each subject is asked about, with other events hidden.

    Raises:
        CheckpointError: the run left no vocabulary or no pre-trained weights.
    """
    vocabulary = read_vocabulary(run_folder)
    weights = load_weights(CheckpointFolder(run_folder / "checkpoints").latest("pretraining"))
    data = SiteData(site_location(study, site, work), study, vocabulary)
    model = build_model(lambda: PretrainingModel.of(study, data.num_tokens), weights).eval()
    is_maskable = maskable_tokens(vocabulary)
    rows = _candidate_rows(data, site, is_maskable)
    masker = EventMasker(study.masking, vocabulary.code_of_token, is_maskable)
    maskings = [
        _masked(study, data, masker, rows, (site.name, number)) for number in range(num_maskings)
    ]
    losses = np.concatenate([_losses(model, masked) for masked in maskings])
    subject_ids, mean = subject_means(
        np.tile(data.store.subject_ids[rows], num_maskings), losses[:, None]
    )
    return SubjectConfidences(np.full(rows.size, site.name), subject_ids, -mean, mean)


def _candidate_rows(
    data: SiteData, site: SiteFolder, is_maskable: NDArray[np.bool_]
) -> NDArray[np.int64]:
    splits = read_splits(site)
    subjects = data.store.subject_ids.tolist()
    asked = np.asarray([splits.get(subject) in CANDIDATE_SPLITS for subject in subjects], bool)
    return np.flatnonzero(asked & has_maskable(data.store, is_maskable))


def _masked(
    study: StudyConfig,
    data: SiteData,
    masker: EventMasker,
    rows: NDArray[np.int64],
    key: tuple[str, int],
) -> MaskedBatch:
    """Each subject's latest window of a pass, with events hidden as `key` says."""
    windows = epoch_windows(data.store, rows, study.sequence.context, key[1])
    numbers = episodes(data.store, windows) if masker.needs_episodes else None
    return masker.mask(collate(data.store, windows), numbers, derive_generator("attack", *key))


def _losses(model: PretrainingModel, masked: MaskedBatch) -> NDArray[np.float64]:
    """The mean loss of each sequence's hidden events, NaN where none is hidden. `[sequences]`."""
    with torch.inference_mode():
        return np.concatenate([_piece(model, piece) for piece in masked.split(_TOKENS_AT_ONCE)])


def _piece(model: PretrainingModel, piece: MaskedBatch) -> NDArray[np.float64]:
    read, output = model.encoder(piece.batch, piece.hidden), model.event_output
    logits = functional.linear(read, output.weight, output.bias)
    losses = functional.cross_entropy(logits, piece.targets, reduction="none").double().numpy()
    counts = np.diff(piece.hidden.boundaries)
    sums = np.bincount(np.repeat(np.arange(counts.size), counts), losses, minlength=counts.size)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
