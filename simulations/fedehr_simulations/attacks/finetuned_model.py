"""How sure a fine-tuned model is of the outcomes that subjects had."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.compute import choose_compute
from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_client.training.examples import Examples, select_examples
from fedehr_client.training.local_parts import LocalParts
from fedehr_client.training.prediction import predict
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.metrics.outcomes import binary_views, task_columns
from fedehr_simulations.attacks.candidates import CANDIDATE_SPLITS, SubjectConfidences
from fedehr_simulations.attacks.subject_means import subject_means
from fedehr_simulations.outcome.finished_run import read_vocabulary, site_location
from fedehr_simulations.outcome.sites_parts import site_folder
from fedehr_simulations.sites_compute import sites_compute

Floats = NDArray[np.float64]
_LEAST_PROBABILITY = 1e-12
_ASKED = "asked"


def finetuned_confidences(
    study: StudyConfig, run_folder: Path, site: SiteFolder, work: Path
) -> SubjectConfidences:
    """Ask a run's last weights about the labelled subjects of a site's train and held-out split.

    A subject with several examples counts with their mean. The confidence is the logit of the
    probability that the model gives to the truth (Carlini et al. 2022, section IV.C).

    Args:
        study: the study that ran.
        run_folder: where it left its vocabulary and checkpoints.
        site: whose subjects.
        work: scratch for the token store.

    Raises:
        CheckpointError: the run left no vocabulary or no fine-tuned weights.
    """
    vocabulary = read_vocabulary(run_folder)
    weights = load_weights(CheckpointFolder(run_folder / "checkpoints").latest("finetuning"))
    own = LocalParts(site_folder(run_folder, site.name), study, vocabulary.digest)
    data = SiteData(site_location(study, site, work), study, vocabulary)
    examples = _examples(study, data, site)
    predictions = predict(
        study,
        data.store,
        examples,
        num_tokens=data.num_tokens,
        weights=own.final(weights),
        compute=choose_compute(sites_compute(num_threads=1), study),
    )
    logits = _true_logits(study, examples.labels, predictions)
    subject_ids, confidences = subject_means(examples.subject_ids, logits)
    _, losses = subject_means(examples.subject_ids, _cross_entropies(logits))
    sites = np.full(subject_ids.size, site.name)
    return SubjectConfidences(sites, subject_ids, confidences, losses)


def _examples(study: StudyConfig, data: SiteData, site: SiteFolder) -> Examples:
    candidates = {s: split in CANDIDATE_SPLITS for s, split in read_splits(site).items()}
    return select_examples(
        data.store,
        read_cohort_labels(site, study.tasks_by_name, study.cohort),
        tasks=study.finetuning.tasks,
        splits={subject: _ASKED if asked else "" for subject, asked in candidates.items()},
        split=_ASKED,
        context=study.sequence.context,
    )


def _true_logits(study: StudyConfig, labels: NDArray[np.float32], predictions: Floats) -> Floats:
    """The logit of the truth's probability, NaN without a label. `[examples, questions]`."""
    columns = []
    slices = zip(study.finetuning.tasks, task_columns(study.task_configs), strict=True)
    for place, (name, own) in enumerate(slices):
        told = labels[:, place], predictions[:, own]
        for view in binary_views(name, study.task(name), *told):
            logit = np.log(_bounded(view.probabilities)) - np.log(_bounded(1 - view.probabilities))
            columns.append(np.where(view.labels == 1, logit, -logit))
            columns[-1][~view.known] = np.nan
    return np.stack(columns, axis=1) if columns else np.empty((len(labels), 0))


def _cross_entropies(true_logits: Floats) -> Floats:
    """In nats, NaN where there is no label."""
    known = ~np.isnan(true_logits)
    losses = np.logaddexp(0.0, -np.where(known, true_logits, 0.0))
    return np.where(known, losses, np.nan)


def _bounded(probabilities: Floats) -> Floats:
    return np.clip(probabilities, _LEAST_PROBABILITY, 1.0)
