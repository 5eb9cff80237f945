"""`run_attack_trials`: every attack of this package, with noise and without."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_simulations.ablation.commit import describe_commit
from fedehr_simulations.arms.workers import SITE_LOG, OnDone
from fedehr_simulations.attacks.trials.audits import audits
from fedehr_simulations.attacks.trials.canary_trial import try_canaries
from fedehr_simulations.attacks.trials.inversion_trial import try_inversion
from fedehr_simulations.attacks.trials.membership_trial import try_membership
from fedehr_simulations.attacks.trials.record import RECORD_FILE, AttackRecord
from fedehr_simulations.attacks.trials.studies import DELTA
from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.verdict.machine import describe_machine, describe_versions

Told = Callable[[str], None]
NUM_SITES = 2


@dataclass(frozen=True)
class AttackTrials:
    """What is tried.

    Attributes:
        out: a new folder.
        epsilons: targets; None: no noise.
        num_subjects: of the synthetic hospitals.
        num_shadows: of the likelihood ratio, for each epsilon.
        num_rounds: of each training.
    """

    out: Path
    epsilons: Sequence[float | None]
    num_subjects: int
    num_shadows: int
    num_rounds: int


def run_attack_trials(asked: AttackTrials, on_done: OnDone, tell: Told) -> AttackRecord:
    """Train, attack, write `attacks.json` below `asked.out`.

    Args:
        asked: what is tried.
        on_done: told of each piece that a worker has done.
        tell: told what begins.

    Raises:
        DataError: the folder exists.
        FedehrError: a study could not go on.
    """
    if asked.out.exists():
        raise DataError(f"{asked.out} exists already. Name a new folder, or remove it first.")
    began = time.monotonic()
    asked.out.mkdir(mode=0o700, parents=True)
    with _logging_to(asked.out / SITE_LOG):
        record = _tried(asked, on_done, tell, began)
    record.write(asked.out / RECORD_FILE)
    return record


def _tried(asked: AttackTrials, on_done: OnDone, tell: Told, began: float) -> AttackRecord:
    tell("audit of the mechanism")
    audited = audits()
    tell("synthetic hospitals")
    sites = _hospitals(asked)
    membership, canaries = [], []
    for epsilon in asked.epsilons:
        name = "none" if epsilon is None else f"{epsilon:g}"
        folder = asked.out / f"epsilon-{name}"
        tell(f"membership, epsilon {name}")
        membership.append(
            try_membership(
                epsilon,
                sites,
                folder / "membership",
                num_rounds=asked.num_rounds,
                num_shadows=asked.num_shadows,
                on_done=on_done,
            )
        )
        tell(f"canaries, epsilon {name}")
        canaries.append(try_canaries(epsilon, sites, folder / "canaries", asked.num_rounds))
    tell("one update read")
    return AttackRecord(
        commit=describe_commit(),
        machine=describe_machine(),
        versions=describe_versions(),
        num_subjects=asked.num_subjects,
        num_shadows=asked.num_shadows,
        delta=DELTA,
        membership=tuple(membership),
        canaries=tuple(canaries),
        inversion=try_inversion(asked.epsilons, sites, asked.out / "inversion", asked.num_rounds),
        audit=audited,
        seconds=round(time.monotonic() - began, 1),
    )


@contextmanager
def _logging_to(file: Path) -> Iterator[None]:
    """The sites' own log lines belong to their run, not into the terminal."""
    log = logging.getLogger("fedehr")
    handler = logging.FileHandler(file, delay=True, encoding="utf-8")
    log.addHandler(handler)
    log.propagate, before = False, log.propagate
    try:
        yield
    finally:
        log.propagate = before
        log.removeHandler(handler)
        handler.close()


def _hospitals(asked: AttackTrials) -> list[SiteFolder]:
    folder = asked.out / "hospitals"
    write_hospitals(folder, HospitalsPlan(asked.num_subjects, NUM_SITES, 0, size_ratio=1))
    return FederationFolder(folder).sites
