"""`Admitted`: a request that an approved contract allows."""

from dataclasses import dataclass

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.wire.work import WorkId


@dataclass(frozen=True)
class Admitted:
    """One request for work that may be done.

    Attributes:
        contract: that allows it.
        contract_digest: what was approved.
        study: the contract's.
        work_id: phase, round and attempt.
        request_digest: names all that the answer follows from; the same whatever the attempt, and
            whether the vocabulary, the base or the contract were sent along.
        run_id: the engine's, to which the contract is bound.
        num_tokens: of the run's vocabulary; 0 in the vocabulary phase.
        is_answered: whether an answer to it has left before; then no other one may.
    """

    contract: StudyContract
    contract_digest: str
    study: StudyConfig
    work_id: WorkId
    request_digest: str
    run_id: int
    num_tokens: int = 0
    is_answered: bool = False
