"""`run_study`: one run from its first to its last file, on any transport."""

from pathlib import Path
from typing import Any

from fedehr_server.model_shelf import ModelShelf
from fedehr_server.progress import ProgressLog, write_json
from fedehr_server.rounds.agreement import Agreement
from fedehr_server.rounds.conductor import Conductor
from fedehr_server.study_run import StudyRun
from fedehr_server.transport import Transport
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, FedehrError
from fedehr_shared.privacy.not_covered import not_covered


def run_study(
    study: StudyConfig,
    transport: Transport,
    folder: Path,
    num_sites: int,
    *,
    shelf: VocabularyShelf | None = None,
    models: ModelShelf | None = None,
    agreement: Agreement | None = None,
) -> dict[str, Any]:
    """Conduct `study` and write into `folder`, `result.json` last.

    Args:
        study: the study.
        transport: reaches the sites' nodes.
        folder: new; named after the run.
        num_sites: how many nodes to wait for.
        shelf: where a vocabulary is taken from and kept; without one a study cannot re-use any.
        models: where a pre-trained model is taken from and kept; as `shelf`.
        agreement: the contract and the sites' names; a simulation has none.

    Returns:
        The content of `result.json`.

    Raises:
        DataError: `folder` exists already.
        FedehrError: the study could not go on; `result.json` says so too.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise DataError(f"{folder} exists already. Name a new run.") from error
    (folder / "study.json").write_text(study.to_json() + "\n", encoding="utf-8")
    log = ProgressLog(folder)
    run = StudyRun(study, folder, log, shelf, models)
    conductor = Conductor(study, run, transport, log, num_sites, agreement=agreement)
    try:
        conductor.conduct()
    except FedehrError as error:
        _finish(folder, log, _result(study, run, conductor, error))
        raise
    except Exception:
        unforeseen = FedehrError("the coordinator failed unexpectedly; see its log.")
        _finish(folder, log, _result(study, run, conductor, unforeseen))
        raise
    result = _result(study, run, conductor, None)
    _finish(folder, log, result)
    return result


def _result(
    study: StudyConfig, run: StudyRun, conductor: Conductor, error: FedehrError | None
) -> dict[str, Any]:
    return {
        "status": "completed" if error is None else "failed",
        "code": "ok" if error is None else error.code,
        "exit_code": 0 if error is None else error.exit_code,
        "message": "" if error is None else str(error),
        "study_digest": study.digest,
        "contract": conductor.contract_digest,
        "num_bound": len(conductor.bound),
        "sites": run.sites,
        "missing": run.missing,
        "back_off": run.back_off,
        "privacy": run.privacy,
        "training_privacy": run.training_privacy,
        "not_covered": _not_covered(study),
        "bytes": conductor.traffic.summary(conductor.site_names),
        "pretraining_loss": run.pretraining_loss,
        "pretrained_model": run.pretrained_model,
        "training": run.training.summary,
    }


def _not_covered(study: StudyConfig) -> list[dict[str, Any]]:
    """What sites tell that no epsilon covers; empty where the study promises none."""
    promises = study.privacy.mechanism != "none" or study.vocabulary.noise_epsilon > 0
    return [one.to_dict() for one in not_covered(study)] if promises else []


def _finish(folder: Path, log: ProgressLog, result: dict[str, Any]) -> None:
    result["seconds"] = round(log.seconds, 3)
    log.write("end", status=result["status"], code=result["code"])
    write_json(folder / "result.json", result)
