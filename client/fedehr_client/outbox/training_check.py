"""`check_training`: whether an answer is an update and the numbers that go with it."""

import math
from collections.abc import Mapping

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.outbox.receipt import TensorRecord
from fedehr_client.outbox.tensor_scan import scan_record
from fedehr_client.outbox.told_number import (
    MOST,
    Test,
    count_of,
    require_float,
    require_integer,
    require_keys,
    require_records,
    require_text,
    within,
    wrong,
)
from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ContractError, WireError
from fedehr_shared.model.parameter_shapes import update_moment_shapes, update_shapes
from fedehr_shared.wire.payload import Payload, Values
from fedehr_shared.wire.work import Phase

_MOST_STEPS = 10**9
_SHARES = tuple(f"back_off.{step}" for step in ("exact", "ancestor", "bucket", "unknown"))
_ROUNDING = 0.005
"""Of a share, which is told in hundredths."""
_NOISY_DIGITS = 2
"""Of a loss in a phase with noise."""
_NORM_SLACK: dict[WireDtype, float] = {"fp32": 1e-5, "bf16": 2**-7, "fp16": 2**-10, "int8": 0.3}
"""How much longer than its bound an update may be for how the wire rounds it. Of int8 a group of
256 numbers is off by a 127th of its largest each, so by 16/127 of its own length at most; what the
rounds before lost is added, which is as much again."""


def check_training(
    answer: Payload, admitted: Admitted, *, site: str, min_cell: int
) -> dict[str, TensorRecord]:
    """Hold an answer of a round of training against its study; what its tensors are.

    Args:
        answer: what would leave.
        admitted: what was asked.
        site: this site's name.
        min_cell: of which each count is a multiple.

    Raises:
        WireError: it holds anything that it may not.
    """
    study, work = admitted.study, admitted.work_id
    shapes = _expected(admitted)
    require_records(answer, set(shapes), {"report", "metrics"})
    num_examples = _check_report(answer.values["report"], study, work.phase, site, min_cell)
    _check_metrics(answer.values["metrics"], admitted, min_cell, num_examples)
    exchange = study.exchange
    dtypes = {"update": exchange.dtype, "moments": exchange.state_dtype}
    return {
        name: scan_record(name, answer.tensors[name], own, dtypes[name])
        for name, own in shapes.items()
    }


def _expected(admitted: Admitted) -> dict[str, Mapping[str, tuple[int, ...]]]:
    """By record, the shapes of its tensors, reckoned here and held against the contract's."""
    study, work, num_tokens = admitted.study, admitted.work_id, admitted.num_tokens
    update = update_shapes(study, work.phase, work.round, num_tokens)
    moments = update_moment_shapes(study, work.phase, work.round, num_tokens)
    allowed = admitted.contract.tensors.get(work.phase, {})
    told = {name: tuple(size or num_tokens for size in own) for name, own in allowed.items()}
    if not update or not update.items() <= told.items():
        raise WireError(
            "the contract does not name the tensors that the round would send. It was stopped."
        )
    return {"update": update, "moments": moments} if moments else {"update": update}


def _check_report(
    report: Values, study: StudyConfig, phase: Phase, site: str, min_cell: int
) -> int | None:
    is_withheld = study.privacy.metrics == "withheld"
    is_private = study.privacy.is_private(phase)
    told = set() if is_withheld else {"num_examples", "loss"}
    needed = told - {"loss"} if is_private else told
    require_keys(report, "report", {"site", "num_steps"} | needed, {"site", "num_steps"} | told)
    require_text(report, "report", "site", site)
    config = study.pretraining if phase == "pretraining" else study.finetuning
    steps: Test = within(1, _MOST_STEPS)
    if is_private:
        steps = within(config.steps_per_round, config.steps_per_round)
    require_integer(report, "report", "num_steps", steps)
    if "loss" in report:
        # Learnt weights of tasks add logarithms of variances, which may be below zero.
        is_weighed = phase == "finetuning" and study.loss.task_weights == "uncertainty"
        loss = require_float(report, "report", "loss", within(-MOST if is_weighed else 0, MOST))
        if is_private and float(f"{loss:.{_NOISY_DIGITS}g}") != loss:
            raise wrong("report.loss")
    if is_withheld:
        return None
    return require_integer(report, "report", "num_examples", count_of(min_cell))


def _check_metrics(
    metrics: Values, admitted: Admitted, min_cell: int, num_examples: int | None
) -> None:
    study, phase = admitted.study, admitted.work_id.phase
    tests = _tests(admitted, min_cell, num_examples)
    least = {"learning_rate"}
    if study.privacy.metrics == "withheld":
        tests = {"learning_rate": tests["learning_rate"]}
    else:
        least |= {"grad_norm", "seconds"}
    require_keys(metrics, "metrics", least, set(tests))
    found = {key: require_float(metrics, "metrics", key, tests[key]) for key in metrics}
    if sum(found.get(name, 0.0) for name in _SHARES) > 1 + len(_SHARES) * _ROUNDING + 1e-9:
        raise wrong("metrics.back_off")
    if phase == "finetuning":
        for task in study.finetuning.tasks:
            if (f"tuning.{task}.auroc" in found) != (f"tuning.{task}.num" in found):
                raise wrong(f"metrics.tuning.{task}")


def _tests(admitted: Admitted, min_cell: int, num_examples: int | None) -> dict[str, Test]:
    """By key that the phase may have, what its number may be."""
    study, phase = admitted.study, admitted.work_id.phase
    config = study.pretraining if phase == "pretraining" else study.finetuning
    tests: dict[str, Test] = {
        "learning_rate": within(0, config.learning_rate),
        "grad_norm": within(0, MOST),
        "seconds": within(0, MOST, decimals=1),
        **dict.fromkeys(_SHARES, within(0, 1, decimals=2)),
    }
    if phase == "pretraining":
        if study.objective.num_views == 1:
            most = math.log(max(2, admitted.num_tokens)) + _ROUNDING
            tests["code_entropy"] = within(0, most, decimals=2)
        return tests
    is_count = count_of(min_cell)
    most_labels = MOST if num_examples is None else num_examples
    for task, kind in study.tasks_by_name.items():
        tests[f"labels.{task}"] = lambda number: is_count(number) and number <= most_labels
        if kind.kind != "regression":
            tests[f"tuning.{task}.auroc"] = within(0, 1, decimals=10)
            tests[f"tuning.{task}.num"] = count_of(min_cell)
        if study.loss.task_weights == "dynamic":
            tests[f"tuning.{task}.loss"] = within(0, MOST, decimals=3)
    return tests


def check_norm(records: Mapping[str, TensorRecord], admitted: Admitted) -> None:
    """Hold an update's length against the contract's bound.

    Raises:
        ContractError: it is longer.
    """
    most = admitted.contract.max_update_norm
    if most is None or "update" not in records:
        return
    norm = records["update"].norm
    if norm > most * (1 + _NORM_SLACK[admitted.study.exchange.dtype]):
        raise ContractError(
            f"an update is {norm:.6g} long, and the contract allows {most:.6g}. It was stopped."
        )
