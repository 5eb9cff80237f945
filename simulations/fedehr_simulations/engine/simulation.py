"""The driver: asks a keeper for one simulation and follows it to its end."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedehr_server.bundle import bundle_file
from fedehr_shared.config import StudyConfig
from fedehr_shared.errors import DataError, FedehrError, PolicyError, UsageError
from fedehr_simulations.engine.keeper_link import KeeperLink
from fedehr_simulations.engine.outcome import read_result
from fedehr_simulations.engine.plan import EnginePlan
from fedehr_simulations.engine.progress import ProgressFile
from fedehr_simulations.engine.request import check_request
from fedehr_simulations.private_file import private_opener

Progress = Callable[[dict[str, Any]], None]
"""Receives each line of `progress.jsonl`, and the engine's own steps as
`{"event": "engine", "state": "opened"|"superlink"|"submitted"|"running"|"stopping"|"ended",
"time_seconds": float, ...}`; `opened` carries `private_network` and `folders`."""

_POLL_SECONDS = 0.1


def run_simulation(
    study: StudyConfig,
    sites: Path,
    out: Path,
    run: str,
    *,
    on_progress: Progress | None = None,
    num_actors: int | None = None,
    private_network: bool = True,
    bundle: Path | None = None,
) -> dict[str, Any]:
    """Run one study over a federation folder on Flower's simulation engine.

    The engine's own log goes to `out/logs/<run>.log`.

    However it ends, no process, port or temporary folder of it stays behind, not even when
    this process is killed: then the keeper cleans up.

    Args:
        study: the study.
        sites: the federation folder.
        out: the coordinator folder; made if missing, readable by its owner only.
        run: the run's name; `out/runs/<run>` must not exist.
        on_progress: called for every event, see `Progress`.
        num_actors: sites that work at the same time; by default as many as there are cores
            or sites. Each takes `cores / actors` torch threads.
        private_network: take a network of its own where the system allows one (the event
            `opened` says whether); else, and with False, the machine's own loopback, which
            other users of this machine reach.
        bundle: another bundle's `pyproject.toml`; the installed one by default.

    Returns:
        The content of `out/runs/<run>/result.json`.

    Raises:
        DataError: the folder or a site lacks what the study asks for, or the run exists.
        UsageError: `num_actors` is below one.
        PolicyError: a process of the engine would have listened beyond loopback.
        FedehrError: the run failed; of the class that its result names, or this one when
            the engine ended without a result.
    """
    folders = check_request(study, sites)
    cores = _usable_cores()
    actors = min(cores, len(folders)) if num_actors is None else min(num_actors, len(folders))
    if actors < 1:
        raise UsageError(f"the number of actors is {num_actors}. Give at least 1.")
    out = out.absolute()
    run_folder = _make_folders(out, run)
    _write_study(out, study)
    plan = EnginePlan(
        bundle_file=str(bundle_file() if bundle is None else bundle.absolute()),
        coordinator_folder=str(out),
        sites_folder=str(sites.absolute()),
        result_file=str(run_folder / "result.json"),
        log_file=str(out / "logs" / f"{run}.log"),
        run_config={"study": study.digest, "run": run, "num-sites": len(folders)},
        num_sites=len(folders),
        num_actors=actors,
        num_threads=max(1, cores // actors),
        private_network=private_network,
    )
    _follow(plan, run_folder, on_progress or _ignore)
    return read_result(Path(plan.result_file), Path(plan.log_file))


def _follow(plan: EnginePlan, run_folder: Path, on_progress: Progress) -> None:
    progress = ProgressFile(run_folder / "progress.jsonl")
    with _keeper(plan) as keeper:
        while not keeper.has_ended:
            for event in keeper.read(_POLL_SECONDS) + progress.read():
                on_progress(event)
        for event in progress.read():
            on_progress(event)
    _check_end(keeper.last, plan)


def _check_end(last: dict[str, Any], plan: EnginePlan) -> None:
    if last.get("reason") == "exposed":
        raise PolicyError(
            f"the simulation was stopped: it listened on {last['detail']}, which other "
            "machines can reach. Report it with the versions of flwr and ray."
        )
    if not Path(plan.result_file).exists():
        raise FedehrError(
            f"the simulation ended without a result: {last.get('detail', 'its keeper ended')}. "
            f"Read {plan.log_file}."
        )


@contextmanager
def _keeper(plan: EnginePlan) -> Iterator[KeeperLink]:
    with open(plan.log_file, "wb", opener=private_opener) as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fedehr_simulations.engine.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # The terminal's Ctrl-C must reach the driver alone.
            start_new_session=True,
        )
    link = KeeperLink(process)
    try:
        link.send(plan.to_json())
        yield link
    finally:
        link.close()


def _make_folders(out: Path, run: str) -> Path:
    """Make all but the run's own folder, which the ServerApp makes; return that one's path."""
    folder = out / "runs" / run
    if folder.exists():
        raise DataError(f"{folder} exists already. Name a new folder, or remove it first.")
    for path in (out, out / "studies", out / "runs", out / "logs"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _write_study(out: Path, study: StudyConfig) -> None:
    file = out / "studies" / f"{study.digest}.json"
    with open(file, "w", encoding="utf-8", opener=private_opener) as target:
        target.write(study.to_json())


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ignore(_event: dict[str, Any]) -> None:
    pass
