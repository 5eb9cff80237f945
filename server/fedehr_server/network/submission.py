"""A submission: one study handed to the SuperLink, watched to its end.

The engine says `finished:completed` late and hides why a run failed, so the end of a run is
its `result.json`, which the ServerApp writes last. The engine is asked, now and then,
only whether the run still lives: a run that has ended without a result has failed.
"""

import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedehr_server.bundle import copy_bundle
from fedehr_server.model_shelf import FOLDER_NAME as MODELS_FOLDER
from fedehr_server.model_shelf import ModelShelf, reused_model
from fedehr_server.network.control import Control
from fedehr_server.network.coordinator import CoordinatorFolder, require_name
from fedehr_server.network.enough_sites import require_enough_sites
from fedehr_server.network.readiness import name_taken
from fedehr_server.network.run_result import read_result
from fedehr_server.network.sites import SiteRegister
from fedehr_server.run_order import RunOrder
from fedehr_server.vocabulary_shelf import FOLDER_NAME, VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import DeadlineError, NetworkError
from fedehr_shared.privacy.study_cost import StudyCost

POLL_SECONDS = 0.25
ENGINE_POLL_SECONDS = 5.0
"""Asking the engine starts a Python process of a second or two."""

Event = dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """A run that the SuperLink has accepted."""

    run: str
    run_id: str
    """The engine's id."""
    num_sites: int
    folder: Path
    """`runs/<run>/`."""


def submit(
    folder: CoordinatorFolder,
    study: StudyConfig,
    run: str | None = None,
    num_sites: int | None = None,
    *,
    bundle: Path | None = None,
    contract: StudyContract | None = None,
) -> Submission:
    """Store the study and start a run of it.

    Args:
        folder: the coordinator's.
        study: the study.
        run: the run's name; left out, made of the study's and the time.
        num_sites: how many sites the run waits for; left out, those of the contract, or all that
            are registered.
        bundle: another bundle's `pyproject.toml`; left out, the installed one.
        contract: signed and kept; left out, sites are asked without one, and those that run this
            version refuse.

    Raises:
        UsageError: the run's name is taken.
        ConfigError: too few sites for the study, or no noise keeps it within its epsilon.
        DataError: the vocabulary or the model that the study re-uses is not there.
        NetworkError: the SuperLink is down or refused.
    """
    if run is not None:
        require_name(run)
    expected = _expected_sites(folder, study, num_sites, contract)
    if study.vocabulary.reuse:
        VocabularyShelf(folder.path / FOLDER_NAME).take(study.vocabulary.reuse)
    reused_model(study, ModelShelf(folder.path / MODELS_FOLDER))
    if study.privacy.mechanism != "none":
        StudyCost.of(study)
    name = run or f"{study.name[:40]}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    order = RunOrder(study.digest, expected, "" if contract is None else contract.digest)
    run_id = launch(folder, name, study, order, bundle)
    return Submission(name, run_id, expected, folder.runs / name)


def launch(
    folder: CoordinatorFolder,
    name: str,
    study: StudyConfig,
    order: RunOrder,
    bundle: Path | None = None,
) -> str:
    """Reserve a run's name, leave its order for the ServerApp, and start it; the engine's id.

    Args:
        folder: the coordinator's.
        name: of the run.
        study: the study.
        order: what the run is to do.
        bundle: another bundle's `pyproject.toml`; left out, the installed one.

    Raises:
        UsageError: the run's name is taken.
        NetworkError: the SuperLink is down or refused.
    """
    record = folder.submissions / f"{name}.json"
    try:
        record.touch(mode=0o600, exist_ok=False)
    except FileExistsError as error:
        raise name_taken(name) from error
    try:
        (folder.studies / f"{study.digest}.json").write_text(study.to_json(), encoding="utf-8")
        order.save(record)
        settings: dict[str, str | int] = {
            "study": study.digest,
            "run": name,
            "num-sites": order.num_sites,
        }
        run_id = _start(folder, bundle, settings)
    except BaseException:
        record.unlink()
        raise
    replace(order, run_id=run_id).save(record)
    return run_id


def watch(
    folder: CoordinatorFolder,
    submission: Submission,
    timeout_seconds: float | None,
    report: Callable[[Event], None],
) -> dict[str, Any]:
    """Wait for the run's end, handing each progress event to `report`.

    Returns:
        The content of `result.json`; for a run that ended without one, a failed result with
        exit code 1.

    Raises:
        DeadlineError: `timeout_seconds` have gone; the run has been stopped.
        NetworkError: the SuperLink is gone.
    """
    control = Control(folder)
    progress = ProgressReader(submission.folder / "progress.jsonl")
    started = next_question = time.monotonic()
    while True:
        result = read_result(submission.folder)
        for event in progress.new_events():
            report(event)
        if result is not None:
            _keep_output(folder, submission)
            return result
        now = time.monotonic()
        if timeout_seconds is not None and now - started > timeout_seconds:
            control.stop_run(submission.run_id)
            raise DeadlineError(
                f"run {submission.run} did not end within {timeout_seconds:g} seconds and has "
                "been stopped. Submit again with a longer --timeout."
            )
        if now >= next_question:
            ended = _has_ended(control, submission)
            next_question = time.monotonic() + ENGINE_POLL_SECONDS
            if ended:
                _keep_output(folder, submission)
                return read_result(submission.folder) or _silence(folder, submission, ended)
        time.sleep(POLL_SECONDS)


class ProgressReader:
    """Reads `progress.jsonl` as it grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset_bytes = 0

    def new_events(self) -> list[Event]:
        """The events written since the last call; a line still being written waits."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._offset_bytes)
                content = file.read()
        except FileNotFoundError:
            return []
        complete = content[: content.rfind(b"\n") + 1]
        self._offset_bytes += len(complete)
        return [json.loads(line) for line in complete.splitlines() if line.strip()]


def _expected_sites(
    folder: CoordinatorFolder,
    study: StudyConfig,
    num_sites: int | None,
    contract: StudyContract | None,
) -> int:
    if num_sites is not None:
        expected = num_sites
    else:
        expected = len(SiteRegister(folder).names() if contract is None else contract.sites)
    require_enough_sites(study, expected, "the run would have")
    return expected


def _start(folder: CoordinatorFolder, bundle: Path | None, settings: dict[str, str | int]) -> str:
    with tempfile.TemporaryDirectory(prefix="fedehr-bundle-") as alone:
        return Control(folder).start_run(copy_bundle(Path(alone) / "bundle", bundle), settings)


def _has_ended(control: Control, submission: Submission) -> str | None:
    with contextlib.suppress(NetworkError):
        state = control.run_state(submission.run_id)
        return state if state.startswith("finished") else None
    # The result may have been written just before the SuperLink went away.
    if read_result(submission.folder) is not None:
        return "gone"
    raise NetworkError(
        f"the SuperLink no longer answers about run {submission.run}. Start it again with "
        "`fedehr-server start`, then look with `fedehr-server status`."
    )


def _keep_output(folder: CoordinatorFolder, submission: Submission) -> None:
    # A result is a result also when the SuperLink has just been stopped.
    with contextlib.suppress(NetworkError):
        output = Control(folder).run_output(submission.run_id)
        folder.run_log(submission.run).write_text(output, encoding="utf-8")


def _silence(folder: CoordinatorFolder, submission: Submission, state: str) -> dict[str, Any]:
    return {
        "status": "failed",
        "code": "failed",
        "exit_code": 1,
        "message": f"the run ended ({state}) without a result. "
        f"Read {folder.run_log(submission.run)}.",
    }
