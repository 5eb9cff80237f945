"""One step of one site, read for a subject's codes."""

from collections.abc import Sequence
from pathlib import Path

from fedehr_client.answers.site_data import SiteData
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.attacks.inversion.recovery import Recovered, StepAttack
from fedehr_simulations.attacks.trials.record import InversionResult
from fedehr_simulations.attacks.trials.studies import finetuning_study, lora_study
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import read_vocabulary, site_location

SIZES = (1, 16)
FULL, ADAPTERS, NOTHING = "all weights", "adapters and heads", "nothing"
_NUM_TRIALS = 20
_NUM_SEARCHES = 4


def try_inversion(
    epsilons: Sequence[float | None], sites: Sequence[SiteFolder], folder: Path, num_rounds: int
) -> tuple[InversionResult, ...]:
    """Read steps of full tuning by the rows of its tables, steps of adapters by a search.

    Args:
        epsilons: targets; None: no noise.
        sites: the hospitals; the first one is attacked.
        folder: new.
        num_rounds: for which the noise is calibrated.

    Raises:
        FedehrError: a study could not go on.
    """
    full = _attack_on(finetuning_study(None, 1), sites, folder / "full")
    adapters = _attack_on(lora_study(), sites, folder / "adapters")
    found = []
    for size in SIZES:
        guessed = full.by_guessing(size, _NUM_TRIALS)
        found.append(_result(NOTHING, size, None, "the most frequent codes", guessed))
        for epsilon in epsilons:
            told = full.by_rows(size, _NUM_TRIALS, _mechanism(epsilon, num_rounds))
            found.append(_result(FULL, size, epsilon, "rows of the tables", told))
    for epsilon in epsilons:
        told = adapters.by_matching(_NUM_SEARCHES, _mechanism(epsilon, num_rounds))
        found.append(_result(ADAPTERS, 1, epsilon, "gradient matching", told))
    return tuple(found)


def _attack_on(study: StudyConfig, sites: Sequence[SiteFolder], folder: Path) -> StepAttack:
    """On the weights that a short run of the study left."""
    run = folder / "run"
    run_in_process(study, sites, run, folder / "training", num_threads=1)
    data = SiteData(site_location(study, sites[0], folder / "asked"), study, read_vocabulary(run))
    return StepAttack(
        study, data, load_weights(CheckpointFolder(run / "checkpoints").latest("finetuning"))
    )


def _mechanism(epsilon: float | None, num_rounds: int) -> Mechanism | None:
    if epsilon is None:
        return None
    return Mechanism.of(finetuning_study(epsilon, num_rounds), "finetuning")


def _result(
    shown: str, num_subjects: int, epsilon: float | None, method: str, told: Recovered
) -> InversionResult:
    return InversionResult(
        shown=shown,
        num_subjects=num_subjects,
        target_epsilon=epsilon,
        method=method,
        precision=told.precision,
        recall=told.recall,
    )
