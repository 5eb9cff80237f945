"""`TrialReport`: what a rehearsal showed, and what the whole study would cost."""

from dataclasses import asdict, dataclass
from typing import Any

from fedehr_client.trial.phase_figures import PhaseFigures
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_terms import rounds_of


@dataclass(frozen=True)
class ReceiptLine:
    """One answer, as its receipt has it."""

    work: str
    num_bytes: int
    norm: float | None
    verdict: str
    sha256: str


@dataclass(frozen=True)
class TrialReport:
    """One rehearsal.

    Attributes:
        study: the whole study, of which a few rounds were run.
        status: `completed` or `failed`, as the throw-away coordinator says.
        message: why it failed; empty where it did not.
        exit_code: that the coordinator's program ends with.
        seconds: of the run, waits between messages included.
        phases: figures by phase.
        peak_bytes: of memory, by kind of process.
        peak_total_bytes: of all of them at one moment.
        receipts: of every answer that left.
        errors: by code, how many left in place of answers.
        reasons: where it failed, what the node's logs say beside the usual; the logs themselves
            are thrown away.
        set_aside: settings of the site file that were not kept, with the reason.
    """

    study: StudyConfig
    status: str
    message: str
    exit_code: int
    seconds: float
    phases: dict[str, PhaseFigures]
    peak_bytes: dict[str, int]
    peak_total_bytes: int
    receipts: tuple[ReceiptLine, ...]
    errors: dict[str, int]
    reasons: tuple[str, ...]
    set_aside: dict[str, str]

    @property
    def whole_rounds(self) -> dict[str, int]:
        """Of the whole study, by phase."""
        return {str(phase): number for phase, number in rounds_of(self.study).items()}

    @property
    def whole_seconds(self) -> float:
        """What the whole study would take here, without the waits for other sites."""
        rounds = self.whole_rounds
        return sum(found.seconds_of(rounds.get(p, 0)) for p, found in self.phases.items())

    @property
    def whole_bytes(self) -> int:
        """What would leave here in the whole study."""
        rounds = self.whole_rounds
        return sum(found.answer_bytes * rounds.get(p, 0) for p, found in self.phases.items())

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "study": self.study.name,
            "status": self.status,
            "message": self.message,
            "seconds": self.seconds,
            "phases": {phase: asdict(found) for phase, found in self.phases.items()},
            "memory_bytes": {**self.peak_bytes, "at_once": self.peak_total_bytes},
            "receipts": [asdict(line) for line in self.receipts],
            "errors": self.errors,
            "reasons": list(self.reasons),
            "whole_study": {
                "rounds": self.whole_rounds,
                "seconds": self.whole_seconds,
                "bytes": self.whole_bytes,
            },
            "set_aside": self.set_aside,
        }
