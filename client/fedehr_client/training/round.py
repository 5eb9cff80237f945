"""One site's share of one round: what it starts from, and what it did."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.local_parts import LocalParts
from fedehr_client.training.local_state import LocalState
from fedehr_client.training.model_shelf import ModelShelf
from fedehr_client.training.step_numbers import StepObserver
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.task_balance import TaskBalance


@dataclass(frozen=True)
class RoundContext:
    """One site's share of one round: whose it is, and what it starts from.

    Attributes:
        study: the study.
        site: the site's name, for its seeds.
        round_number: from 1 within the phase.
        num_tokens: the vocabulary's size.
        weights: the federation's weights before the round, with the site's own parts.
        moments: averaged moments, or None to start with empty ones.
        compute: where and how to train.
        min_cell: subjects that the round must rest on; 1 for a trial whose update goes nowhere.
        balance: what the coordinator told of the tasks.
        local_state: where the site keeps what goes over to its next round; None: nowhere.
        local_parts: where it keeps its own parts of the model; None: nowhere.
        work: the site's private folder, which remembers token budgets; None: nothing does.
        observe: told the numbers of each step, at the site; None: nobody watches.
        randomness: of a private round; None: a fresh one. Tests alone give their own.
        models: what the process keeps of the study's model between rounds.
    """

    study: StudyConfig
    site: str
    round_number: int
    num_tokens: int
    weights: Arrays
    moments: Arrays | None
    compute: Compute
    min_cell: int = 1
    balance: TaskBalance = field(default_factory=TaskBalance)
    local_state: LocalState | None = None
    local_parts: LocalParts | None = None
    work: Path | None = None
    observe: StepObserver | None = None
    randomness: PrivateRandomness | None = None
    models: ModelShelf = field(default_factory=ModelShelf)

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.compute.device


@dataclass(frozen=True)
class RoundResult:
    """What a round did.

    Attributes:
        num_steps: optimizer steps taken.
        loss: the mean over the steps, in nats.
        update: the change of the weights.
        moments: AdamW's, where they travel.
        learning_rate: of the last step.
        gradient_norm: the mean over the steps, before clipping.
        last_gradient_norm: of the last step, before clipping.
        num_rescaled_steps: steps done again with a smaller loss scale (fp16 alone).
        seconds: from the first step to the last.
    """

    num_steps: int
    loss: float
    update: Arrays
    moments: Arrays | None
    learning_rate: float = 0.0
    gradient_norm: float = 0.0
    last_gradient_norm: float = 0.0
    num_rescaled_steps: int = 0
    seconds: float = 0.0
