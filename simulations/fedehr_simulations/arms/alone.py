"""A study with one site only, as the pooled and the local arm run it."""

from pathlib import Path

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.in_process import run_in_process


def for_one_site(study: StudyConfig) -> StudyConfig:
    """The same study, satisfied with one site; steps and passes over the records stay."""
    federation = study.federation.model_copy(update={"min_sites": 1})
    vocabulary = study.vocabulary.model_copy(update={"min_sites": 1})
    return study.model_copy(update={"federation": federation, "vocabulary": vocabulary})


def train_alone(
    study: StudyConfig, site: SiteFolder, folder: Path, arm: str, work: Path
) -> tuple[Path, tuple[float | None, ...]]:
    """Run a one-site study in this process.

    Returns:
        The run's folder, and the pre-training loss of each round, None where it is withheld.

    Raises:
        FedehrError: the study could not go on.
    """
    run_folder = folder / "runs" / arm
    result = run_in_process(study, [site], run_folder, work, num_threads=1)
    return run_folder, tuple(result["pretraining_loss"])
