"""`run_privacy_trials`: every way at every epsilon, from shared pre-trainings.

OUT is as `tuning_trials.trials` has it, with `OUT/<name of the ways' file>-<noise>.json` beside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TrainingError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.splits import HELD_OUT_SHARE, TUNING_SHARE
from fedehr_simulations.arms.workers import OnDone
from fedehr_simulations.privacy_trials.phases import without_noise
from fedehr_simulations.privacy_trials.record import PrivacyRecord
from fedehr_simulations.privacy_trials.results import build_privacy_record
from fedehr_simulations.privacy_trials.ways import Scope, read_arms
from fedehr_simulations.tuning_trials.trials import TrialsRequest, carry_out_trials


@dataclass(frozen=True)
class PrivacyTrials:
    """What is to be tried.

    Attributes:
        study: with `[privacy]`.
        federation: the federation folder.
        ways: the file of ways.
        epsilons: targets.
        scopes: the phases with noise.
        num_seeds: seeds rising from the study's own.
        num_grid_seeds: the first so many try every candidate of an arm.
        out: a new folder, or one of an earlier call with the same federation.
        num_actors: trials side by side, None: one a core.
    """

    study: StudyConfig
    federation: Path
    ways: Path
    epsilons: tuple[float, ...]
    scopes: tuple[Scope, ...]
    num_seeds: int
    num_grid_seeds: int
    out: Path
    num_actors: int | None = None


def run_privacy_trials(asked: PrivacyTrials, on_done: OnDone) -> PrivacyRecord:
    """Carry out what is left, choose by the tuning split and score.

    Raises:
        FedehrError: see `read_arms` and `carry_out_trials`; or nothing without noise came to an
            end, with which the rest could be compared.
    """
    study = sized_study(asked.study, asked.federation)
    arms = read_arms(study, asked.ways, asked.epsilons, asked.scopes)
    request = TrialsRequest(
        study=without_noise(study),
        federation=asked.federation,
        variants=tuple(arm.variant for arm in arms),
        num_seeds=asked.num_seeds,
        num_grid_seeds=asked.num_grid_seeds,
        out=asked.out,
        num_actors=asked.num_actors,
    )
    done = carry_out_trials(request, on_done)
    told = list(zip(arms, done.trials, strict=True))
    if not any(arm.target is None and trials.finished for arm, trials in told):
        reasons = [failure.reason for trials in done.trials for failure in trials.failures]
        raise TrainingError(f"no way without noise came to an end: {'; '.join(reasons[:1])}")
    return build_privacy_record(study, told, done.sites)


def sized_study(study: StudyConfig, federation: Path) -> StudyConfig:
    """With the public guess of a site's size that fits these synthetic sites: their mean number
    of training subjects, in two digits.

    Raises:
        DataError: the folder is missing or damaged.
    """
    folder = FederationFolder(federation)
    mean = folder.describe()["num_subjects"] / len(folder.sites)
    nominal = round_to_digits(mean * (1 - HELD_OUT_SHARE - TUNING_SHARE))
    privacy = study.privacy.model_copy(update={"nominal_subjects": nominal})
    return study.model_copy(update={"privacy": privacy})


def round_to_digits(number: float, digits: int = 2) -> int:
    """The number with so many digits that are not zero; at least 1."""
    return max(1, round(float(f"{number:.{digits - 1}e}")))


def parse_scopes(text: str) -> Sequence[Scope]:
    """`finetuning`, `both` or `all`."""
    scopes: dict[str, Sequence[Scope]] = {
        "none": (),
        "finetuning": ("finetuning",),
        "both": ("both",),
        "all": ("finetuning", "both"),
    }
    return scopes[text]
