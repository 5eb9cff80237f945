"""Canaries planted at one site of a small federation, and their exposure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.metrics.binary import auroc
from fedehr_simulations.attacks.canaries import FIRST_ID, Canaries, exposures
from fedehr_simulations.attacks.pretrained_model import pretrained_confidences
from fedehr_simulations.attacks.trials.record import CanaryResult
from fedehr_simulations.attacks.trials.studies import MIN_CELL, pretraining_study
from fedehr_simulations.in_process import run_in_process

_NUM_MASKINGS = 8


def try_canaries(
    epsilon: float | None, sites: Sequence[SiteFolder], folder: Path, num_rounds: int
) -> CanaryResult:
    """Plant, pre-train in this process, and ask for the canaries and for others like them.

    Args:
        epsilon: the study's target; None: no noise.
        sites: the hospitals; the first one is planted in.
        folder: new.
        num_rounds: of the training.

    Raises:
        FedehrError: the study could not go on.
    """
    study, canaries = pretraining_study(epsilon, num_rounds), Canaries()
    planted = [canaries.plant(sites[0], folder / "records", MIN_CELL), *sites[1:]]
    apart = canaries.write_apart(sites[0], folder / "apart", MIN_CELL)
    run_in_process(study, planted, folder / "run", folder / "training", num_threads=1)
    told = pretrained_confidences(study, folder / "run", apart, folder / "asked", _NUM_MASKINGS)
    losses, is_planted = told.losses[:, 0], told.subject_ids < FIRST_ID + canaries.planted
    area = auroc(is_planted.astype(np.float64), -losses, np.ones((1, losses.size)))
    return CanaryResult(
        target_epsilon=epsilon,
        num_references=canaries.references,
        exposures=tuple(round(float(bits), 3) for bits in exposures(losses, is_planted)),
        auroc=float(area[0]),
    )
