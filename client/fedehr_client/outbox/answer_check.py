"""`AnswerCheck`: what may leave, reckoned from contract, study and site file alone.

It trusts nothing of whoever made the answer: a process that computes on records may be wrong, or
led astray by what it was sent. Whatever is not known to be allowed is stopped.
"""

import re
from dataclasses import dataclass

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.outbox.evaluation_check import check_evaluation
from fedehr_client.outbox.receipt import TensorRecord
from fedehr_client.outbox.told_number import require_keys, require_records, wrong
from fedehr_client.outbox.training_check import check_norm, check_training
from fedehr_client.outbox.vocabulary_check import SiteCodes, check_vocabulary
from fedehr_shared.cells import cell_of
from fedehr_shared.errors import ERROR_CODES, ContractError
from fedehr_shared.privacy.key_patterns import key_patterns
from fedehr_shared.wire.payload import Payload

_REFERENCE = re.compile(r"[0-9a-f]{16}")
ERROR = "error"
"""The record of an answer that is a failure."""


@dataclass(frozen=True)
class AnswerCheck:
    """The checks of one site for one request.

    Attributes:
        admitted: what was asked.
        site: this site's name.
        floor: this site's `min_cell`.
        codes: that it may name.
    """

    admitted: Admitted
    site: str
    floor: int
    codes: SiteCodes

    @property
    def min_cell(self) -> int:
        """Of which each count of an answer is a multiple, in subjects."""
        return cell_of(self.admitted.study.vocabulary.min_cell, self.floor)

    def check(self, answer: Payload) -> dict[str, TensorRecord]:
        """Hold an answer against all that is known of it; what its tensors are.

        Raises:
            WireError: it holds anything that it may not.
            ContractError: it is larger or longer than the contract allows.
            DataError: the site's code table cannot be read.
        """
        self._check_bytes(answer)
        phase = self.admitted.work_id.phase
        if key_patterns(self.admitted.study.to_json()).unknown(phase, answer):
            raise wrong("a name")
        asked, site, cell = self.admitted, self.site, self.min_cell
        if phase == "vocabulary":
            check_vocabulary(answer, asked, site=site, min_cell=cell, codes=self.codes)
            return {}
        if phase == "evaluation":
            check_evaluation(answer, asked, site=site, min_cell=cell)
            return {}
        records = check_training(answer, asked, site=site, min_cell=cell)
        check_norm(records, self.admitted)
        return records

    def _check_bytes(self, answer: Payload) -> None:
        phase = self.admitted.work_id.phase
        most = self.admitted.contract.max_answer_bytes.get(phase, 0)
        if answer.num_bytes > most:
            raise ContractError(
                f"an answer of {phase} has {answer.num_bytes:,} bytes, and the contract allows "
                f"{most:,}. It was stopped."
            )


def is_error(answer: Payload) -> bool:
    """Whether an answer is that of a failure alone; `error_code` says whether it may be."""
    return not answer.tensors and answer.values.keys() == {ERROR}


def error_code(answer: Payload) -> str:
    """The documented code of a failure.

    Raises:
        WireError: it holds anything else than a code and a reference of 16 hexadecimal digits.
    """
    require_records(answer, set(), {ERROR})
    values = answer.values[ERROR]
    require_keys(values, ERROR, {"code", "reference"}, {"code", "reference"})
    code, reference = values["code"], values["reference"]
    if type(code) is not str or code not in ERROR_CODES:
        raise wrong("error.code")
    if type(reference) is not str or not _REFERENCE.fullmatch(reference):
        raise wrong("error.reference")
    return code
