"""`ErrorFeedback`: what rounding took from a site's update is added to its next one.

    <work>/rounding_loss/<study>/<phase>-<round>.safetensors

An update that travels as int8 is right on average alone. Whatever one round's rounding lost or
added is carried into the next, so that the sum of what was sent stays within one rounding of the
sum of what was learnt (Seide et al. 2014, Karimireddy et al. 2019). Nothing of it leaves.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fedehr_client.training.local_state import LocalState, forget_study
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.seeds import derive_generator
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.payload import Arrays, Payload
from fedehr_shared.wire.reports import TrainReport
from fedehr_shared.wire.work import Work

FOLDER_NAME = "rounding_loss"


class ErrorFeedback:
    """One site's lost remainders in one phase of a study, by tensor."""

    def __init__(self, work_folder: Path, work: Work) -> None:
        """Nothing is read or written yet.

        Args:
            work_folder: the site's private folder.
            work: the round that is answered.
        """
        self._id, self._exchange = work.id, work.study.exchange
        study = work.study
        self._restarts = study.finetuning.tuning == "lora" and study.lora.restarts
        self._local = LocalState(
            work_folder,
            work.study.digest,
            work.id.phase,
            work.vocabulary_digest,
            folder=FOLDER_NAME,
        )

    def payload(self, report: TrainReport) -> Payload:
        """The answer as it travels, with what earlier rounds lost; what is lost now is kept.

        A round that is asked for again starts from the same remainders and rounds alike: it
        gives the same bits.

        Raises:
            DataError: the remainders cannot be written.
            WireError: a tensor cannot be encoded.
        """
        seed = (self._id.digest, self._id.phase, self._id.round, report.site, "rounding")
        generator = derive_generator(*seed)
        if self._exchange.dtype != "int8":
            return report.to_payload(self._exchange, generator)
        kept = self._kept()
        due = replace(report, update=_sums(report.update, kept))
        payload = due.to_payload(self._exchange, generator)
        lost = _differences(due.update, decode(payload.tensors["update"]))
        # A tensor that this round did not answer keeps what an earlier one lost.
        tensors = {name: torch.from_numpy(value) for name, value in (kept | lost).items()}
        self._local.keep(self._id.round, tensors)
        return payload

    def _kept(self) -> Arrays:
        kept = self._local.before(self._id.round) or {}
        return {name: tensor.numpy() for name, tensor in kept.items() if self._lasts(name)}

    def _lasts(self, name: str) -> bool:
        """Whether the next round's tensor is still the one that lost something: what was lost of
        factors that have been folded into the base says nothing of the new ones."""
        return not (self._restarts and is_adapter(name))


def forget_error_feedback(work_folder: Path, study: str) -> None:
    """Remove the remainders of a study: once it is over, and where it begins anew.

    Raises:
        DataError: they cannot be removed.
    """
    forget_study(work_folder, study, folder=FOLDER_NAME)


def _sums(update: Arrays, kept: Arrays) -> Arrays:
    return {
        name: np.add(value, kept[name]) if _fits(kept, name, value.shape) else value
        for name, value in update.items()
    }


def _differences(due: Arrays, sent: Arrays) -> Arrays:
    return {name: np.subtract(value, sent[name]) for name, value in due.items()}


def _fits(kept: Arrays, name: str, shape: tuple[int, ...]) -> bool:
    return name in kept and kept[name].shape == shape
