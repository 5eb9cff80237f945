"""Exact predictions of a finished run: its last weights on the sites' held-out examples.

Where a study has local parts, those of the site that trained count.
"""

from pathlib import Path

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.compute import choose_compute
from fedehr_client.locator import SiteLocation
from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_client.training.examples import select_examples
from fedehr_client.training.local_parts import LocalParts
from fedehr_client.training.prediction import predict
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import CheckpointError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.outcome.predictions import SitePredictions
from fedehr_simulations.outcome.sites_parts import site_folder
from fedehr_simulations.sites_compute import sites_compute


def site_location(study: StudyConfig, site: SiteFolder, work: Path) -> SiteLocation:
    """The site as a simulation sees it; `work` holds the scratch folders of all sites."""
    return SiteLocation(
        name=site.name,
        records=site,
        work=work / site.name,
        min_cell=study.vocabulary.min_cell,
        compute=sites_compute(num_threads=1),
    )


def read_vocabulary(run_folder: Path) -> Vocabulary:
    """The vocabulary that a run agreed on.

    Raises:
        CheckpointError: the run has none.
    """
    file = run_folder / "vocabulary.json"
    try:
        return Vocabulary.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read {file}. Run the study again.") from error


def predict_held_out(
    study: StudyConfig, run_folder: Path, site: SiteFolder, work: Path, *, records: SiteFolder
) -> SitePredictions:
    """Predictions of the run's last fine-tuned weights for one site's held-out examples.

    Args:
        study: the study that ran.
        run_folder: where it left its vocabulary and checkpoints.
        site: whose examples.
        work: scratch for token stores.
        records: where the subjects' events are: the site itself, or all sites' records pooled.

    Raises:
        CheckpointError: the run left no vocabulary or no fine-tuned weights.
    """
    vocabulary = read_vocabulary(run_folder)
    weights = load_weights(CheckpointFolder(run_folder / "checkpoints").latest("finetuning"))
    own = LocalParts(site_folder(run_folder, records.name), study, vocabulary.digest)
    data = SiteData(site_location(study, records, work), study, vocabulary)
    tasks = study.finetuning.tasks
    examples = select_examples(
        data.store,
        read_cohort_labels(site, study.tasks_by_name, study.cohort),
        tasks=tasks,
        splits=read_splits(site),
        split=HELD_OUT,
        context=study.sequence.context,
    )
    probabilities = predict(
        study,
        data.store,
        examples,
        num_tokens=data.num_tokens,
        weights=own.final(weights),
        compute=choose_compute(sites_compute(num_threads=1), study),
    )
    return SitePredictions(examples.subject_ids, examples.prediction_times, probabilities)
