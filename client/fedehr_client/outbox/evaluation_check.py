"""`check_evaluation`: whether an answer is an evaluation and nothing else."""

from collections.abc import Iterator

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.outbox.told_number import (
    require_float,
    require_integer,
    require_keys,
    require_records,
    require_text,
    within,
    wrong,
)
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.metrics.evaluation_checks import EvaluationChecks
from fedehr_shared.metrics.questions import (
    OF_PROBABILITIES,
    Question,
    group_names,
    group_prefix,
    questions_of,
)
from fedehr_shared.metrics.regression import REGRESSION_METRICS
from fedehr_shared.metrics.told_values import in_steps, rounded_value, step_of
from fedehr_shared.wire.payload import Payload, Values
from fedehr_shared.wire.reports import EvaluationReport

_SCORES = "scores."
_ENDS = ("", ".low", ".high")
_CALIBRATION_DECIMALS = 3


def check_evaluation(answer: Payload, admitted: Admitted, *, site: str, min_cell: int) -> None:
    """Hold the answer of the last phase against its study.

    Args:
        answer: what would leave.
        admitted: what was asked.
        site: this site's name.
        min_cell: of which each count is a multiple.

    Raises:
        WireError: it holds anything that it may not.
    """
    study = admitted.study
    scores = {record for record in answer.values if record.startswith(_SCORES)}
    asked = {f"{_SCORES}{one.name}" for one in _questions(study) if one.has_scores}
    require_records(answer, set(), {"report", "metrics"} | (scores & asked))
    report = answer.values["report"]
    require_keys(report, "report", {"site", "min_cell"}, {"site", "min_cell"})
    require_text(report, "report", "site", site)
    require_integer(report, "report", "min_cell", within(min_cell, min_cell))
    told = EvaluationReport.from_payload(answer)
    EvaluationChecks(study).check(told)
    _require_same(answer, told)
    _check_steps(answer.values["metrics"], study)


def _questions(study: StudyConfig) -> Iterator[Question]:
    for name, task in study.tasks_by_name.items():
        yield from questions_of(name, task)


def _require_same(answer: Payload, told: EvaluationReport) -> None:
    """Nothing but what was read, and of the same types."""
    again = told.to_payload().values
    for record, values in answer.values.items():
        if values != again[record] or any(
            type(value) is not type(again[record][key]) for key, value in values.items()
        ):
            raise wrong(record.partition(".")[0])


def _check_steps(metrics: Values, study: StudyConfig) -> None:
    """A metric in finer steps would tell a count exactly (`told_values.py`)."""
    for question in _questions(study):
        for prefix in _prefixes(question, study):
            if f"{prefix}.num" in metrics:
                names = [f"{prefix}.{metric}{end}" for metric in question.metrics for end in _ENDS]
                _check_told(metrics, names, _counts(metrics, prefix), prefix)
        before = [f"uncalibrated.{question.name}.{metric}" for metric in OF_PROBABILITIES]
        if any(name in metrics for name in before):
            if f"{question.name}.num" not in metrics:
                raise wrong("metrics.uncalibrated")
            _check_told(metrics, before, _counts(metrics, question.name), "uncalibrated")
    for task in study.finetuning.tasks:
        for key in ("slope", "intercept"):
            name = f"calibration.{task}.{key}"
            if name in metrics:
                decimals = within(-1e3, 1e3, decimals=_CALIBRATION_DECIMALS)
                require_float(metrics, "metrics", name, decimals)


def _prefixes(question: Question, study: StudyConfig) -> Iterator[str]:
    yield question.name
    if question.has_groups:
        for kind, names in group_names(study.evaluation).items():
            yield from (group_prefix(question.name, kind, name) for name in names)


def _counts(metrics: Values, prefix: str) -> tuple[int, ...]:
    """Negatives and positives as told, or all subjects alone."""
    num = int(float(str(metrics[f"{prefix}.num"])))
    positive = metrics.get(f"{prefix}.num_positive")
    if positive is None:
        return (num,)
    return num - int(float(str(positive))), int(float(str(positive)))


def _check_told(metrics: Values, names: list[str], counts: tuple[int, ...], prefix: str) -> None:
    for name in names:
        if name not in metrics:
            continue
        value = require_float(metrics, "metrics", name, within(-1e12, 1e12))
        metric = name.removesuffix(".low").removesuffix(".high").rpartition(".")[2]
        if metric in REGRESSION_METRICS:
            told = rounded_value(value)
        else:
            step = step_of(sum(counts)) if metric == "accuracy" else step_of(*counts)
            told = in_steps(value, step)
        if told != value:
            raise wrong(f"metrics.{prefix}")
