"""`StudyTerms`: the part of a contract that follows from its study alone."""

import math
from typing import Annotated

from pydantic import Field

from fedehr_shared.config.section import Section
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskKind
from fedehr_shared.errors import ContractError
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_shared.privacy.vocabulary_cost import VocabularyCost
from fedehr_shared.wire.work import PHASES, Phase

MAX_WEIGHT = 1e4
"""No weight of honest training is larger: layers are normed, and labels are scaled to 1."""
_TOLERANCE = 1e-6
"""Relative: epsilon is a sum over many logarithms, which machines round differently."""

_DATA_COLUMNS = ("subject_id", "time", "code", "numeric_value", "visit_id")
_CODE_COLUMNS = ("code", "description", "parent_codes", "delay_hours")
_SPLIT_COLUMNS = ("subject_id", "split")
_LABEL_COLUMNS = ("subject_id", "prediction_time")
_VALUE_COLUMNS: dict[TaskKind, tuple[str, ...]] = {
    "binary": ("boolean_value",),
    "multiclass": ("categorical_value", "integer_value"),
    "regression": ("float_value", "integer_value"),
    "time_to_event": ("boolean_value", "float_value"),
}
"""A multiclass or a regression label is in the one column or in the other."""


class StudyTerms(Section):
    """What a study asks, in numbers that both ends reckon alike."""

    rounds: dict[Phase, Annotated[int, Field(ge=1)]]
    """By phase that the study has, in any order."""
    columns: tuple[str, ...]
    """What of the records is read, as `table.column`."""
    subject_epsilon: Annotated[float, Field(ge=0)] | None
    """What all that sites noise costs each subject, vocabulary included; None: sites add none."""
    subject_delta: Annotated[float, Field(ge=0, lt=1)] | None
    """At which that epsilon holds."""
    max_update_norm: Annotated[float, Field(gt=0)] | None
    """To which the coordinator scales an update down, where it adds the noise; else None."""
    max_weight: Annotated[float, Field(gt=0, le=MAX_WEIGHT)]
    """No number of the tensors that a site is sent is larger, whatever its sign."""

    @classmethod
    def of(cls, study: StudyConfig) -> "StudyTerms":
        """The terms of a study.

        Raises:
            ConfigError: no noise keeps it within its target.
        """
        epsilon, delta = _cost(study)
        is_central = study.privacy.mechanism == "central"
        return cls(
            rounds=rounds_of(study),
            columns=columns_of(study),
            subject_epsilon=epsilon,
            subject_delta=delta,
            max_update_norm=study.privacy.max_update_norm if is_central else None,
            max_weight=MAX_WEIGHT,
        )

    def require_of(self, study: StudyConfig) -> None:
        """Compare with what the study says.

        Raises:
            ContractError: naming the first number that differs.
            ConfigError: no noise keeps the study within its target.
        """
        for name, value in StudyTerms.of(study):
            told = getattr(self, name)
            if not _is_same(value, told):
                raise ContractError(
                    f"the contract states {name} = {told!r:.80}, and its study asks for "
                    f"{value!r:.80}. It was refused."
                )


def rounds_of(study: StudyConfig) -> dict[Phase, int]:
    """By phase, in the order of a study; what it does not have is left out."""
    has = {
        "vocabulary": 1,
        "pretraining": study.pretraining.rounds,
        "finetuning": study.finetuning.rounds,
        "evaluation": min(1, study.finetuning.rounds),
    }
    return {phase: has[phase] for phase in PHASES if has[phase]}


def columns_of(study: StudyConfig) -> tuple[str, ...]:
    """What of a site's records a study reads."""
    labels = (
        f"labels/{name}.{column}"
        for name, task in study.tasks_by_name.items()
        for column in (*_LABEL_COLUMNS, *_VALUE_COLUMNS[task.kind])
    )
    return (
        *(f"data.{column}" for column in _DATA_COLUMNS),
        *(f"codes.{column}" for column in _CODE_COLUMNS),
        *(f"subject_splits.{column}" for column in _SPLIT_COLUMNS),
        *labels,
    )


def _cost(study: StudyConfig) -> tuple[float | None, float | None]:
    """Of training and vocabulary together, as a ledger charges them."""
    cost = StudyCost.of(study) if study.privacy.mechanism == "local" else None
    vocabulary = VocabularyCost.of(study.vocabulary)
    history = [] if cost is None else cost.history()
    delta = cost.delta if history and cost is not None else 0.0
    if vocabulary is None:
        return (subject_epsilon(history, delta), delta) if history else (None, None)
    if not history:
        return study.vocabulary.noise_epsilon, vocabulary.delta
    left = delta + vocabulary.delta - vocabulary.naming_delta
    return subject_epsilon([*history, vocabulary.steps], left), delta + vocabulary.delta


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE)
    return one == other
