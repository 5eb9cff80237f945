"""What a rehearsal learned, in a sentence."""

from dataclasses import dataclass
from typing import Any

from fedehr_client.rehearsal.exam import Exam

LEAST_GAIN_NATS = 0.05
"""A loss that is not this far below its reference says that nothing was learned."""


@dataclass(frozen=True)
class Verdict:
    """The losses of a trained model beside those of one that learned nothing.

    Attributes:
        training: on training subjects.
        held_out: on the tuning split; None where it has too few subjects.
        names_events: whether the reference is that of naming events by the code frequencies;
            otherwise that of guessing among views.
    """

    training: Exam
    held_out: Exam | None
    names_events: bool

    @property
    def gain_nats(self) -> float:
        """How far the loss is below its reference: on the tuning split, or on the training
        split where there is no other."""
        judged = self.held_out or self.training
        return judged.reference - judged.loss

    @property
    def learned(self) -> bool:
        """Whether it learned anything that the reference does not know."""
        return self.gain_nats > LEAST_GAIN_NATS

    @property
    def sentence(self) -> str:
        """In plain words, with the next step where there is one."""
        reference = "the code frequencies" if self.names_events else "chance"
        where = "in training" if self.held_out is None else "on the tuning split"
        if self.learned:
            return f"learned: {self.gain_nats:.2f} nats below {reference} {where}"
        if self.training.reference - self.training.loss > LEAST_GAIN_NATS:
            return (
                "it learned the training subjects by heart and nothing that holds for others: "
                "take fewer steps, a smaller model or more subjects"
            )
        return (
            f"it learned nothing beyond {reference}: raise or lower the learning rate, take more "
            "steps, or look at `fedehr-client check`"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON; None where the tuning split has too few subjects."""
        return {
            "train_loss": self.training.loss,
            "train_reference": self.training.reference,
            "held_out_loss": self.held_out and self.held_out.loss,
            "held_out_reference": self.held_out and self.held_out.reference,
            "gain_nats": self.gain_nats,
            "learned": self.learned,
            "sentence": self.sentence,
        }
