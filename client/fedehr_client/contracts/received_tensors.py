"""`require_tensors`: names, shapes, types and sizes of the tensors that a request brings.

Names, shapes and types are read from a record's head. Values are decoded tensor by tensor and
dropped: beside the message there is one tensor in memory.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ContractError, WireError
from fedehr_shared.model.lora.fold import check_fold
from fedehr_shared.model.parameter_shapes import Shapes, base_shapes, received_shapes
from fedehr_shared.wire.codec.record import each_decoded
from fedehr_shared.wire.codec.table import check_expected, unpack_table
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import WorkId


def require_tensors(
    request: Payload, contract: StudyContract, work_id: WorkId, num_tokens: int
) -> None:
    """Refuse tensors that the study's model does not have, or that no training gives.

    Args:
        request: for work.
        contract: that it is asked under.
        work_id: of the request.
        num_tokens: of the run's vocabulary; 0 in the vocabulary phase.

    Raises:
        ContractError: naming the tensor.
        WireError: a record is damaged.
    """
    study, most = contract.study, contract.max_weight
    _require_records(request, study, work_id)
    model = received_shapes(study, work_id.phase, num_tokens)
    if "model" in request.tensors:
        _require(request, study, "model", model, most)
    if "moments" in request.tensors:
        moments = _named(request.tensors["moments"], moment_shapes(model))
        # Gradients have no bound of their own: only finite they must be.
        _require(request, study, "moments", moments, math.inf)
    if "base" in request.tensors:
        _require(request, study, "base", base_shapes(study, work_id.phase, num_tokens), most)
    if "fold" in request.tensors:
        _require_fold(request, contract, work_id, num_tokens)


def _require_records(request: Payload, study: StudyConfig, work_id: WorkId) -> None:
    """Which records of tensors a phase has."""
    phase = work_id.phase
    allowed = set() if phase == "vocabulary" else {"model"}
    if phase in {"pretraining", "finetuning"}:
        config = study.pretraining if phase == "pretraining" else study.finetuning
        if config.optimizer_state == "averaged":
            allowed.add("moments")
    if phase in {"finetuning", "evaluation"}:
        allowed.add("base")
        if study.finetuning.tuning == "lora" and study.lora.restarts:
            allowed.add("fold")
    extra = sorted(set(request.tensors) - allowed)
    if extra:
        raise ContractError(f"a request of {phase} brings '{extra[0]}', which the study has not.")
    if phase != "vocabulary" and "model" not in request.tensors:
        raise ContractError(f"a request of {phase} brings no weights.")


def _require(
    request: Payload,
    study: StudyConfig,
    record: str,
    shapes: Mapping[str, tuple[int, ...]],
    most: float,
) -> None:
    data = request.tensors[record]
    entries, _ = unpack_table(memoryview(data))
    try:
        check_expected(entries, shapes, _dtype(study, record))
    except WireError as error:
        raise ContractError(f"'{record}' of the request: {error}") from error
    for name, values in each_decoded(data):
        _require_bounded(record, name, values, most)


def _named(data: bytes, shapes: Shapes) -> Shapes:
    """Of these shapes, those that a record names: what was not trained yet has no moments."""
    entries, _ = unpack_table(memoryview(data))
    names = {entry.name for entry in entries}
    return {name: shape for name, shape in shapes.items() if name in names}


def _require_fold(
    request: Payload,
    contract: StudyContract,
    work_id: WorkId,
    num_tokens: int,
) -> None:
    study, data = contract.study, request.tensors["fold"]
    base = base_shapes(study, work_id.phase, num_tokens)
    entries, _ = unpack_table(memoryview(data))
    try:
        check_expected(entries, None, _dtype(study, "fold"))
        # Of shapes alone: views of one number, which take no memory.
        fold = {entry.name: _empty(entry.shape) for entry in entries}
        check_fold(fold, base, study.lora, len(contract.sites))
    except WireError as error:
        raise ContractError(f"'fold' of the request: {error}") from error
    for name, values in each_decoded(data):
        _require_bounded("fold", name, values, contract.max_weight)


def _require_bounded(record: str, name: str, values: NDArray[np.float32], most: float) -> None:
    if values.size == 0:
        return
    greatest = max(float(values.max()), -float(values.min()))
    # Decoding has refused NaN and infinity.
    if not greatest <= most:
        raise ContractError(
            f"tensor {name[:80]} of '{record}' holds {greatest:.3g}, and the contract allows "
            f"{most:g} at most."
        )


def _dtype(study: StudyConfig, record: str) -> WireDtype:
    """As `wire/work` has it: a base that rounds add to is no more one that fewer bits hold."""
    if record == "base" and study.finetuning.tuning == "lora" and study.lora.restarts:
        return "fp32"
    return study.exchange.state_dtype


def _empty(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.broadcast_to(np.zeros((), np.float32), shape)
