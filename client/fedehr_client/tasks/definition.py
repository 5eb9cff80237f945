"""`TaskDefinition`: one outcome to predict, as a TOML file says it (see `docs/tasks.md`).

The task looks at clinical times: when something happened. The input of a model looks at the
times when it was known, which are never earlier.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.code_pattern import CodePattern
from fedehr_shared.config.name import Name
from fedehr_shared.config.section import Section

Hours = Annotated[float, Field(ge=0.0, le=1_000_000.0)]
Stay = Literal["hospital_stay", "icu_stay"]
"""`hospital_stay`: HOSPITAL_ADMISSION to HOSPITAL_DISCHARGE of one visit; `icu_stay`: an
ICU_ADMISSION to the next ICU_DISCHARGE in it."""


class IndexConfig(Section):
    """`[index]`: the event that a prediction hangs on. One label a subject."""

    codes: CodePattern
    choose: Literal["first", "last", "random"] = "first"
    """Of the index events that no exclusion removes. `random` is keyed by the subject."""
    gap_hours: Hours = 0.0
    """Prediction time: the index event's time and this."""
    at: Literal["index", "end_of_visit"] = "index"
    """`end_of_visit`: the prediction time is the end of the hospital stay instead."""
    within: Stay = "hospital_stay"
    """The stay in which the subject must still be at the prediction time."""

    @model_validator(mode="after")
    def _one_time(self) -> "IndexConfig":
        if self.at == "end_of_visit" and self.gap_hours:
            raise ValueError('gap_hours has no meaning with at = "end_of_visit"')
        return self


class HistoryConfig(Section):
    """`[history]`: what must be known of a subject by the prediction time."""

    min_hours: Hours = 0.0
    """From the first known event (a birth does not count) to the prediction."""
    min_events: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class ExcludeConfig(Section):
    """`[exclude]`: who is left out, beside those who died or left by the prediction time."""

    codes: tuple[CodePattern, ...] = ()
    """Patterns of events at or before the prediction time."""
    min_age_years: Annotated[float, Field(ge=0.0, le=200.0)] = 0.0
    max_age_years: Annotated[float, Field(ge=0.0, le=200.0)] = 200.0
    """At the prediction time; where a bound is set, an unknown age is left out."""

    @model_validator(mode="after")
    def _order(self) -> "ExcludeConfig":
        if self.min_age_years > self.max_age_years:
            raise ValueError("min_age_years must not exceed max_age_years")
        return self


class OutcomeConfig(Section):
    """`[outcome]`: true when an event of `codes` happens after the prediction and by the
    window's end, or when a stay lasts longer than so many hours from its beginning."""

    codes: CodePattern | None = None
    horizon_hours: Annotated[float, Field(gt=0.0, le=1_000_000.0)] | None = None
    """The window ends so long after the prediction ..."""
    until_end_of: Stay | None = None
    """... or with the stay ..."""
    grace_hours: Hours = 0.0
    """... and this: for sources that know only the day of a death."""
    longer_than_hours: Annotated[float, Field(gt=0.0, le=1_000_000.0)] | None = None
    stay: Stay | None = None
    """The stay whose length counts; in place of `codes`."""

    @model_validator(mode="after")
    def _one_kind(self) -> "OutcomeConfig":
        if (self.longer_than_hours is None) != (self.stay is None):
            raise ValueError("longer_than_hours and stay belong together")
        if (self.codes is None) == (self.longer_than_hours is None):
            raise ValueError("give either codes or longer_than_hours with stay")
        if self.codes is not None and (self.horizon_hours is None) == (self.until_end_of is None):
            raise ValueError("give either horizon_hours or until_end_of with codes")
        if self.stay is not None and (self.horizon_hours is not None or self.until_end_of):
            raise ValueError("the length of a stay takes no horizon_hours and no until_end_of")
        if self.grace_hours and self.until_end_of is None:
            raise ValueError("grace_hours belongs to until_end_of")
        return self


class CompetingConfig(Section):
    """`[competing]`: after such an event the outcome can no longer happen."""

    codes: CodePattern
    label: Literal["false", "exclude", "censor"] = "false"
    """Of times to an event: `false`: without one to the window's end; `censor`: to its time."""


class CensoringConfig(Section):
    """`[censoring]`: until when a subject is observed.

    No outcome, and not observed to the window's end: no label; of times to an event one that
    is censored then.
    """

    until: Literal["dataset_end", "last_event", "codes", "none"] = "none"
    """`dataset_end`: the import's end; `last_event`: of the subject; `codes`: the first such
    event after the prediction; `none`: all windows are observed to their end."""
    codes: CodePattern | None = None

    @model_validator(mode="after")
    def _codes_when_asked(self) -> "CensoringConfig":
        if (self.until == "codes") != (self.codes is not None):
            raise ValueError('codes belongs to until = "codes"')
        return self


class TaskDefinition(Section):
    """A whole task file."""

    name: Name
    description: Annotated[str, Field(min_length=1, max_length=2_000)]
    kind: Literal["binary", "time_to_event"] = "binary"
    """`time_to_event`: the hours to the first outcome, or to the end of what is known."""
    template: bool = False
    """To be copied and filled in, not to be used as it is."""
    index: IndexConfig
    history: HistoryConfig = HistoryConfig()
    exclude: ExcludeConfig = ExcludeConfig()
    outcome: OutcomeConfig
    competing: CompetingConfig | None = None
    censoring: CensoringConfig = CensoringConfig()

    @model_validator(mode="after")
    def _window_after_prediction(self) -> "TaskDefinition":
        if self.index.at == "end_of_visit" and self.outcome.horizon_hours is None:
            raise ValueError('at = "end_of_visit" needs horizon_hours: the stay is over by then')
        return self

    @model_validator(mode="after")
    def _a_time_has_an_event(self) -> "TaskDefinition":
        if self.kind == "time_to_event":
            if self.outcome.codes is None:
                raise ValueError("kind 'time_to_event' needs [outcome] codes: an event with a time")
        elif self.competing is not None and self.competing.label == "censor":
            raise ValueError("[competing] label 'censor' belongs to kind 'time_to_event'")
        return self


class ImportedTask(Section):
    """What stands beside labels that came from a file."""

    name: Name
    kind: Literal["binary", "multiclass", "regression", "time_to_event"]
    source: Literal["file"] = "file"
