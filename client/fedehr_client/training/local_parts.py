"""`LocalParts`: the heads or adapters that a site trains for itself and never sends.

    <work>/local_rounds/<study>/   after each round, as long as the study goes on
    <work>/local_parts/<study>/    as they were evaluated: the site scores with them

The latter outlast the study, and a later run of it until that is evaluated, too. An erasure
removes both: they were learnt from those who are erased.
"""

from pathlib import Path

import numpy as np
import torch

from fedehr_client.locator import LOCAL_PARTS_FOLDER
from fedehr_client.training.local_state import LocalState, Tensors, forget_study
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.work import WorkId

ROUNDS_FOLDER = "local_rounds"
_FINAL = 1


class LocalParts:
    """One site's own parts of one study's model.

    Their first values come with the base, from the coordinator: heads begin at the federation's
    log-odds everywhere. A site that lost its parts begins there again, and its log says so.
    """

    def __init__(self, work: Path, study: StudyConfig, vocabulary: str) -> None:
        """Nothing is read or written yet.

        Args:
            work: the site's private folder.
            study: the study.
            vocabulary: the digest of the vocabulary that it agreed on.
        """
        self._work = work
        self._study = study
        self._plan = TuningPlan.of(study)
        self._rounds = LocalState(
            work, study.digest, "finetuning", vocabulary, folder=ROUNDS_FOLDER
        )
        # Not only of the latest studies: a hospital may score with an old one.
        self._final = LocalState(
            work, study.digest, "final", vocabulary, folder=LOCAL_PARTS_FOLDER, num_studies=None
        )

    def before(self, work: WorkId, weights: Arrays) -> Arrays:
        """`weights` with the site's parts as they were before a piece of work.

        A round that is asked for again starts where it started.

        Args:
            work: a round of training, or the evaluation.
            weights: of the whole model: as received, with the base.
        """
        if work.phase == "pretraining" or not self._study.finetuning.local_parts:
            return weights
        number = self._after_last if work.phase == "evaluation" else work.round
        return _over(weights, self._rounds.before(number))

    def keep(self, round_number: int, weights: Arrays, update: Arrays) -> None:
        """Keep the site's parts after a round.

        Args:
            round_number: of fine-tuning, from 1.
            weights: that the round began with, as `before` gave them.
            update: what it changed, local parts among them.

        Raises:
            DataError: they cannot be written.
        """
        own = {
            name: torch.from_numpy(np.add(weights[name], change))
            for name, change in update.items()
            if self._plan.is_local(name)
        }
        if own:
            self._rounds.keep(round_number, own)

    def keep_final(self) -> None:
        """Keep for scoring what the evaluation is done with; a site without parts keeps none.

        Raises:
            DataError: they cannot be written.
        """
        if not self._study.finetuning.local_parts:
            return
        own = self._rounds.before(self._after_last)
        if own is not None:
            self._final.keep(_FINAL, own)

    def final(self, weights: Arrays) -> Arrays:
        """`weights` with the parts that were evaluated.

        Args:
            weights: of the whole model after the study.
        """
        if not self._study.finetuning.local_parts:
            return weights
        return _over(weights, self._final.before(_FINAL + 1))

    def forget_rounds(self) -> None:
        """Remove the parts of a run that is begun anew, or of records that are no more.

        Raises:
            DataError: they cannot be removed.
        """
        forget_study(self._work, self._study.digest, folder=ROUNDS_FOLDER)

    @property
    def _after_last(self) -> int:
        return self._study.finetuning.rounds + 1


def _over(weights: Arrays, own: Tensors | None) -> Arrays:
    if own is None:
        return weights
    return weights | {name: value.numpy() for name, value in own.items()}
