"""The study file: frozen sections, unknown keys refused, one digest."""

from fedehr_shared.config.study import StudyConfig

__all__ = ["StudyConfig"]
