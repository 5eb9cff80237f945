"""`request_bytes`: how large the tensors of a contract's requests can be."""

from fedehr_shared.contract.answer_bytes import record_bytes
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.model.parameter_shapes import base_shapes, received_shapes
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.work import Phase

FRAMING_BYTES = 2 * 2**20
"""For the engine's heads and indices of at most 10,000 parts, a hundred bytes or two each."""


def request_bytes(contract: StudyContract) -> int:
    """The most bytes of tensors of one request, as the engine cuts them up.

    Reckoned with the largest vocabulary that the contract allows, and unpacked: `wire/codec`
    never takes more.
    """
    largest = max((_tensor_bytes(contract, phase) for phase in contract.rounds), default=0)
    return largest + FRAMING_BYTES


def _tensor_bytes(contract: StudyContract, phase: Phase) -> int:
    study, num_tokens = contract.study, contract.max_tokens
    if phase == "vocabulary":
        return 0
    model = received_shapes(study, phase, num_tokens)
    found = record_bytes(model, study.exchange.state_dtype)
    config = study.pretraining if phase == "pretraining" else study.finetuning
    if config.optimizer_state == "averaged":
        found += record_bytes(moment_shapes(model), study.exchange.state_dtype)
    base = record_bytes(base_shapes(study, phase, num_tokens), "fp32")
    # A fold has two factors of a matrix, of the matrix' own rank at most: each is no larger.
    folds = phase != "pretraining" and study.finetuning.tuning == "lora" and study.lora.restarts
    return found + (3 if folds else 1) * base
