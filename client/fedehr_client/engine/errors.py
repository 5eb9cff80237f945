"""What can go wrong between the worker and the SuperNode."""

from fedehr_shared.errors import ConfigError, NetworkError


class EngineVersionError(ConfigError):
    """The installed engine is not the one that this fedehr was written for."""


class RuntimeAwayError(NetworkError):
    """The SuperNode's own API does not answer; it may come back."""


class SecretRefusedError(NetworkError):
    """The SuperNode refuses the worker's secret."""


class TaskLostError(NetworkError):
    """The SuperNode took a task back, or is gone; nothing is left to be done for it."""


class HalfSentError(NetworkError):
    """An answer was handed over in part: the SuperNode waits for the rest and must be restarted."""
