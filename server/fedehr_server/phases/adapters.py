"""`adapter_aggregation`: whether and how a round brings the sites' adapters together."""

from collections.abc import Callable

from fedehr_server.aggregation.adapter_aggregation import AdapterAggregation
from fedehr_server.aggregation.making import make_aggregation
from fedehr_server.phases.model_state import ModelState
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.work import WorkId


def adapter_aggregation(
    study: StudyConfig,
    work: WorkId,
    state: ModelState,
    *,
    total_weight: int,
    rounded: Callable[[Arrays], Arrays],
) -> AdapterAggregation | None:
    """The method of `[lora]`; None where a round has no adapters, or sites keep theirs.

    Args:
        study: the study.
        work: the round.
        state: what the sites are given.
        total_weight: an upper bound of the sites' examples.
        rounded: tensors as the wire rounds them.
    """
    tuning = study.finetuning
    if work.phase != "finetuning" or tuning.tuning != "lora" or "adapters" in tuning.local_parts:
        return None
    adapters = {name: value for name, value in state.all_weights.items() if is_adapter(name)}
    if study.lora.restarts:
        # An exact sum is of what sites have, and they have what the wire rounds.
        adapters = rounded(adapters)
    return make_aggregation(
        study.lora,
        state.all_weights | adapters,
        total_weight=total_weight,
        seed=study.seed,
        round_number=work.round,
    )
