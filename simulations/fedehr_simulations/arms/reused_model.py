"""Studies that begin where a federated run's pre-training ended."""

from pathlib import Path
from typing import Any

from fedehr_server.model_shelf import FOLDER_NAME as MODELS
from fedehr_server.model_shelf import ModelShelf
from fedehr_server.vocabulary_shelf import FOLDER_NAME as VOCABULARIES
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.arms.federated import FederatedRun
from fedehr_simulations.engine.outcome import read_result
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import read_vocabulary


def reusing(run: FederatedRun) -> StudyConfig:
    """The run's study with its vocabulary and its pre-trained model in place of its own rounds.

    Raises:
        FedehrError: the run did not complete.
        DataError: it pre-trained nothing.
    """
    result = read_result(run.run_folder / "result.json", run.folder / "logs" / f"{run.arm}.log")
    # A study that re-uses a model itself hands it on.
    digest = result["pretrained_model"] or run.study.pretraining.reuse
    if not digest:
        raise DataError(
            "the federated arm pre-trained no model, so that no other arm can begin from it. Give "
            "the study [pretraining] rounds."
        )
    vocabulary = run.study.vocabulary.model_copy(
        update={"reuse": read_vocabulary(run.run_folder).digest}
    )
    pretraining = run.study.pretraining.model_copy(update={"rounds": 0, "reuse": digest})
    return run.study.model_copy(update={"vocabulary": vocabulary, "pretraining": pretraining})


def finetune(
    study: StudyConfig, run: FederatedRun, sites: list[SiteFolder], folder: Path, work: Path
) -> dict[str, Any]:
    """Run a study from `reusing` over `sites` in this process.

    Returns:
        The content of `result.json`.

    Raises:
        FedehrError: the study could not go on.
    """
    return run_in_process(
        study,
        sites,
        folder,
        work,
        num_threads=1,
        shelf=VocabularyShelf(run.folder / VOCABULARIES),
        models=ModelShelf(run.folder / MODELS),
    )
