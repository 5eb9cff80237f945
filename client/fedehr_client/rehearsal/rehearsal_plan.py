"""`RehearsalPlan`: what is known before the first step."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class RehearsalPlan:
    """What a person sees before training starts.

    Attributes:
        site: its name.
        study: the study's name.
        objective: its kind of pre-training.
        compute: the device and each choice, in words.
        num_subjects: to train on, as it may be told; None: withheld.
        num_training_tokens: their tokens.
        longest: tokens of the longest record.
        context: longest sequence of the study, in tokens.
        num_tokens: of the vocabulary.
        code_entropy: of the training split, in nats.
        num_parameters: of the model.
        memory: an estimate, in words.
        memory_bytes: the same, at the most.
        noise_multiplier: of the noise that each step of pre-training adds; 0: none.
    """

    site: str
    study: str
    objective: str
    compute: str
    num_subjects: int | None
    num_training_tokens: int
    longest: int
    context: int
    num_tokens: int
    code_entropy: float
    num_parameters: int
    memory: str
    memory_bytes: int
    noise_multiplier: float = 0.0

    @property
    def lines(self) -> tuple[str, ...]:
        """One line a topic."""
        return (*self._usual_lines, *self._noise_lines)

    @property
    def _noise_lines(self) -> tuple[str, ...]:
        if not self.noise_multiplier:
            return ()
        return (
            f"noise: {self.noise_multiplier:g} times the clipping norm at each step, as in the "
            "study; nothing is sent, and nothing is charged",
        )

    @property
    def _usual_lines(self) -> tuple[str, ...]:
        subjects = "withheld" if self.num_subjects is None else f"{self.num_subjects:,}"
        names_events = self.objective != "contrastive"
        return (
            f"compute: {self.compute}",
            self.memory,
            f"records of {self.site}: {subjects} subjects to train on, "
            f"{self.num_training_tokens:,} tokens, the longest record {self.longest:,}, "
            f"context {self.context:,}",
            f"model: {self.num_parameters:,} parameters, vocabulary of {self.num_tokens:,} tokens, "
            f"objective {self.objective}",
            f"code entropy: {self.code_entropy:.3f} nats (what the code frequencies alone lose); "
            f"log(vocabulary): {math.log(self.num_tokens):.3f} nats (a blind guess)"
            if names_events
            else "this objective names no events: no code entropy to compare its loss with",
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "log_vocabulary": math.log(self.num_tokens)}
