"""How large an answer may be, by phase: upper bounds from the study and the vocabulary's size.

Bytes are those of `Payload.num_bytes`: what the records hold, without the engine's framing.
Tensors are bounded by what they take unpacked, which `wire/codec` never exceeds; numbers by the
names that a study gives them.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_terms import rounds_of
from fedehr_shared.metrics.questions import (
    OF_PROBABILITIES,
    Question,
    group_names,
    group_prefix,
    questions_of,
)
from fedehr_shared.metrics.score_histogram import MOST_BINS
from fedehr_shared.wire.codec.entry import Entry
from fedehr_shared.wire.codec.table import pack_table
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.work import Phase

Shapes = Mapping[str, tuple[int, ...]]

BYTES_PER_CODE = 512
"""Allowed for a code of a vocabulary answer: its name, its count, and where it has values the 60
bins of their histogram at most. A code of real records takes 60 on average, a tenth with values."""
NUM_TOKENS = 0
"""A size in a contract's shapes that stands for the vocabulary's number of tokens."""

_NUMBER_BYTES = 8
_REPORT_BYTES = 1_024
"""Names of records, keys and the site's name, and all numbers that each answer has."""
_SCORES_BYTES = 512
"""Keys of a question's two histograms, and the subjects of each."""
_ENDS = ("", ".low", ".high")
_CALIBRATION = ("slope", "intercept")


def answer_bytes(
    study: StudyConfig,
    tensors: Mapping[Phase, Shapes],
    *,
    num_tokens: int,
    num_codes: int,
) -> dict[Phase, int]:
    """By phase that the study has, the most bytes of one answer.

    Args:
        study: the study.
        tensors: by phase that trains, the shapes of an update, `NUM_TOKENS` among their sizes.
        num_tokens: of the vocabulary.
        num_codes: that a vocabulary answer may name, codes above others included.
    """
    found = {
        "vocabulary": _vocabulary_bytes(study, num_codes),
        "pretraining": _training_bytes(study, "pretraining", tensors, num_tokens),
        "finetuning": _training_bytes(study, "finetuning", tensors, num_tokens),
        "evaluation": _evaluation_bytes(study),
    }
    return {phase: found[phase] for phase in rounds_of(study)}


def run_bytes(study: StudyConfig, by_phase: Mapping[Phase, int]) -> int:
    """The most bytes of all answers of one run, each counted once.

    Args:
        study: the study.
        by_phase: of one answer.
    """
    return sum(number * by_phase[phase] for phase, number in rounds_of(study).items())


def shapes_with(shapes: Shapes, num_tokens: int) -> dict[str, tuple[int, ...]]:
    """A contract's shapes for a vocabulary of `num_tokens`."""
    return {
        name: tuple(num_tokens if size == NUM_TOKENS else size for size in shape)
        for name, shape in shapes.items()
    }


def record_bytes(shapes: Shapes, dtype: WireDtype) -> int:
    """The most bytes that `wire/codec` makes of tensors of these shapes."""
    entries = [Entry(name, dtype, is_packed=False, shape=shape) for name, shape in shapes.items()]
    return len(pack_table(entries)) + sum(entry.num_plain_bytes for entry in entries)


def _vocabulary_bytes(study: StudyConfig, num_codes: int) -> int:
    codes = 0 if study.vocabulary.reuse else num_codes * BYTES_PER_CODE
    labels = (
        len(name) + _NUMBER_BYTES * (1 + task.num_counts)
        for name, task in study.tasks_by_name.items()
    )
    return _REPORT_BYTES + codes + sum(labels)


def _training_bytes(
    study: StudyConfig, phase: Phase, tensors: Mapping[Phase, Shapes], num_tokens: int
) -> int:
    shapes = shapes_with(tensors.get(phase, {}), num_tokens)
    config = study.pretraining if phase == "pretraining" else study.finetuning
    found = _REPORT_BYTES + record_bytes(shapes, study.exchange.dtype)
    if config.optimizer_state == "averaged":
        found += record_bytes(moment_shapes(shapes), study.exchange.state_dtype)
    if phase == "finetuning":
        found += _metrics_bytes(chain.from_iterable(map(_task_numbers, study.finetuning.tasks)))
    return found


def _task_numbers(task: str) -> tuple[str, ...]:
    return f"tuning.{task}.auroc", f"tuning.{task}.num", f"tuning.{task}.loss", f"labels.{task}"


def _evaluation_bytes(study: StudyConfig) -> int:
    questions = [
        question
        for name, task in study.tasks_by_name.items()
        for question in questions_of(name, task)
    ]
    # Edges, means and deviations of positives and of negatives.
    scores = _SCORES_BYTES + 2 * 3 * MOST_BINS * _NUMBER_BYTES
    num_scored = sum(question.has_scores for question in questions)
    names = (
        *(name for question in questions for name in _metric_names(study, question)),
        *(f"calibration.{task}.{key}" for task in study.finetuning.tasks for key in _CALIBRATION),
    )
    return _REPORT_BYTES + num_scored * scores + _metrics_bytes(names)


def _metric_names(study: StudyConfig, question: Question) -> Iterator[str]:
    prefixes = {question.name: question.metrics}
    if question.has_groups:
        prefixes |= {
            group_prefix(question.name, kind, name): question.group_metrics
            for kind, names in group_names(study.evaluation).items()
            for name in names
        }
    for prefix, metrics in prefixes.items():
        yield from (f"{prefix}.num", f"{prefix}.num_positive")
        yield from (f"{prefix}.{metric}{end}" for metric in metrics for end in _ENDS)
    if question.has_scores and study.evaluation.calibration != "none":
        yield from (f"uncalibrated.{question.name}.{metric}" for metric in OF_PROBABILITIES)


def _metrics_bytes(names: Iterable[str]) -> int:
    return sum(len(name.encode()) + _NUMBER_BYTES for name in names)
