"""Every error that fedehr raises on purpose, each with the exit code of its program.

    FedehrError                 1  failed
      UsageError                2  the command line asks for something impossible
      ConfigError               3  a study or site file is wrong
      DataError                 4  records, labels or a federation folder are wrong
      StorageError              4  a disk is full, or a quota used up
      NetworkError              5  no connection, no certificate, an unknown key, a port taken
      PolicyError               6  refused by a site's policy, budget or contracts
      HeldError                 6  an answer waits at its site for a person
      BusyError                 6  a site does not work now
      DeadlineError             7  something did not finish in its time
      WireError                 1  a payload is malformed
      ComputeError              1  a process that computes ended
      TrainingError             1  training cannot go on (NaN, infinity)
      CheckpointError           1  a checkpoint is missing or damaged

A message says what failed, the value, and the next step. It never shows a record's
content: identifiers, codes of single subjects and values stay out of it.

Across the network only `code` travels (see `docs/protocol.md`), never the message.
"""

from typing import ClassVar


class FedehrError(Exception):
    """Base of all; `exit_code` is what the program ends with, `code` what may travel."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "failed"


class UsageError(FedehrError):
    """The command line asks for something impossible."""

    exit_code = 2
    code = "usage"


class ConfigError(FedehrError):
    """A study or site file is wrong."""

    exit_code = 3
    code = "config"


class DataError(FedehrError):
    """Records, labels or a federation folder are missing or wrong."""

    exit_code = 4
    code = "data"


class MissingTaskError(DataError):
    """The study asks for a task that the site has no labels for."""

    code = "missing_task"


class TooFewSubjectsError(DataError):
    """A site holds too few subjects, or no code frequent enough, to take part."""

    code = "too_few_subjects"


class StorageError(FedehrError):
    """A disk has no room, or a quota is used up: it works again once somebody has made room."""

    exit_code = 4
    code = "storage"


class NetworkError(FedehrError):
    """No connection, a wrong certificate, an unknown key or a port already taken."""

    exit_code = 5
    code = "network"


class PolicyError(FedehrError):
    """The site refuses what the study asks."""

    exit_code = 6
    code = "policy"


class BudgetError(PolicyError):
    """What the study asks would pass the site's budget of privacy."""

    code = "budget"


class ContractError(PolicyError):
    """A message asks for something else, or for more, than the contract of its study."""

    code = "contract"


class NotApprovedError(PolicyError):
    """Nobody at the site has decided about the study yet."""

    code = "not_approved"


class HeldError(FedehrError):
    """The answer waits in the outbox for a person."""

    exit_code = 6
    code = "held"


class BusyError(FedehrError):
    """The site does not work now: paused, outside its hours, its GPU lent, its bytes spent."""

    exit_code = 6
    code = "busy"


class DeadlineError(FedehrError):
    """Something did not finish in its time."""

    exit_code = 7
    code = "deadline"


class WireError(FedehrError):
    """A payload lacks a record, or holds a wrong name, dtype or shape."""

    code = "wire"


class VocabularyMissingError(WireError):
    """The site does not hold the vocabulary that the work names; the server sends it again."""

    code = "vocabulary_missing"


class BaseMissingError(WireError):
    """The site does not hold the frozen weights that the work names; the server sends them."""

    code = "base_missing"


class ContractMissingError(WireError):
    """The site does not hold the contract that the work names; the server sends it again."""

    code = "contract_missing"


class ComputeError(FedehrError):
    """The process that computes ended: out of memory, killed, or crashed."""

    code = "compute"


class TrainingError(FedehrError):
    """Training cannot go on: a loss or an update is NaN or infinite."""

    code = "training"


class CheckpointError(FedehrError):
    """A checkpoint is missing or damaged."""

    code = "checkpoint"


ERROR_CODES: frozenset[str] = frozenset(
    {
        "failed", "usage", "config", "data", "missing_task", "too_few_subjects", "storage",
        "network", "policy", "budget", "contract", "not_approved", "held", "busy", "deadline",
        "wire", "vocabulary_missing", "base_missing", "contract_missing", "compute", "training",
        "checkpoint",
    }
)  # fmt: skip
"""The codes an error reply may carry; a test keeps it equal to the classes above."""

EXIT_CODES: dict[int, str] = {
    0: "ok",
    1: "failed",
    2: "usage",
    3: "configuration",
    4: "data",
    5: "network or authentication",
    6: "refused by policy or budget",
    7: "timeout",
}
"""One table for `fedehr-client`, `fedehr-server` and `fedehr-sim`."""

__all__ = [
    "ERROR_CODES",
    "EXIT_CODES",
    "BaseMissingError",
    "BudgetError",
    "BusyError",
    "CheckpointError",
    "ComputeError",
    "ConfigError",
    "ContractError",
    "ContractMissingError",
    "DataError",
    "DeadlineError",
    "FedehrError",
    "HeldError",
    "MissingTaskError",
    "NetworkError",
    "NotApprovedError",
    "PolicyError",
    "StorageError",
    "TooFewSubjectsError",
    "TrainingError",
    "UsageError",
    "VocabularyMissingError",
    "WireError",
]
