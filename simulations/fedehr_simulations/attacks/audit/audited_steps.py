"""`AuditedSteps`: the client's own private steps, on subjects made to be found."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.private_step import PrivateStepTaker
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.privacy.subject_gradients import SubjectGradients
from fedehr_simulations.attacks.audit.empirical_epsilon import Trials

NUM_LAYERS = 3
"""A canary pulls at all of them: layers clipped one by one would let through more than the norm."""
_PULL = 1_000.0
"""Far beyond every clipping norm."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Rows:
    """Subjects of a step, each with what it pulls at: `[subjects, width]`."""

    inputs: torch.Tensor

    @property
    def num_subjects(self) -> int:
        return self.inputs.shape[0]

    @property
    def num_tokens(self) -> int:
        return self.num_subjects

    def split(self, token_budget: int | None) -> list["_Rows"]:
        size = token_budget or max(1, self.num_subjects)
        return [_Rows(part) for part in torch.split(self.inputs, size)]

    def to(self, device: torch.device) -> "_Rows":
        return _Rows(self.inputs.to(device))

    def pinned(self) -> "_Rows":
        return self


class _Layers(nn.Module):
    """A loss whose gradient is the subject's row, the same in each layer, and huge."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, 1, bias=False) for _ in range(NUM_LAYERS))

    def losses(self, rows: _Rows) -> torch.Tensor:
        """`[subjects]`."""
        told = torch.stack([layer(rows.inputs).squeeze(1) for layer in self.layers])
        return _PULL * told.sum(dim=0)


@dataclass(frozen=True)
class AuditedSteps:
    """Some steps of DP-SGD as a site takes them, each output seen.

    Attributes:
        mechanism: the noise and the clipping that are claimed.
        sample_rate: the chance of a subject in a step that is claimed.
        num_steps: how many steps are taken.
        gradients: how subjects' gradients are found and clipped.
        randomness: the site's own; a test may give a broken one.
        taken: by the number of subjects there are, the mechanism that steps really have; None: the
            claimed one.
    """

    mechanism: Mechanism
    sample_rate: float = 1.0
    num_steps: int = 1
    gradients: Callable[[nn.Module], SubjectGradients] = HookedGradients
    randomness: Callable[[], PrivateRandomness] = PrivateRandomness
    taken: Callable[[int], Mechanism] | None = None

    def released(self, rows: Floats) -> Floats:
        """What the steps let out: by step and place the noisy sum, in clipping norms.

        Args:
            rows: `[subjects, width]`, the data set; a row of length 1 pulls with all its
                clipped gradient.

        Shape: `[steps, width]`. It is read off the weights, as whoever sees updates does.
        """
        model = _Layers(rows.shape[1])
        data = torch.from_numpy(rows).float()
        randomness = self.randomness()
        gradients = self.gradients(model)
        taker: PrivateStepTaker[_Rows] = PrivateStepTaker(
            torch.optim.SGD(model.parameters(), lr=1.0),
            model.losses,
            Compute(torch.device("cpu")),
            TokenBudget(None),
            gradients=gradients,
            clipping=ClippingNorm(self._taken(rows.shape[0])),
            randomness=randomness,
        )
        told = []
        with gradients.listening():
            for step in range(self.num_steps):
                drawn = randomness.poisson_rows(rows.shape[0], self.sample_rate)
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.zero_()
                taker.take(step, 0, _Rows(data[drawn]))
                told.append(self._sums(model))
        return np.stack(told)

    def _taken(self, num_subjects: int) -> Mechanism:
        return self.mechanism if self.taken is None else self.taken(num_subjects)

    def _sums(self, model: nn.Module) -> Floats:
        """The step's change of all layers along the canaries' direction. `[width]`."""
        change = torch.stack([p.detach().double()[0] for p in model.parameters()]).sum(dim=0)
        scale = self.mechanism.expected_subjects / self.mechanism.max_grad_norm
        return np.asarray(-change.numpy() * scale / math.sqrt(NUM_LAYERS))

    def log_ratios(self, outputs: Floats) -> Floats:
        """How much likelier outputs are with one subject more (Neyman and Pearson 1933).

        Args:
            outputs: `[trials, steps]`, by the direction in which that subject pulls.

        Shape: `[trials]`.
        """
        rate, variance = self.sample_rate, self.mechanism.noise_multiplier**2
        exponents = (2 * outputs - 1) / (2 * variance)
        if rate == 1:
            return np.asarray(exponents.sum(axis=1))
        ratios = np.logaddexp(math.log(1 - rate), math.log(rate) + exponents)
        return np.asarray(ratios.sum(axis=1))


def canary_trials(steps: AuditedSteps, num_canaries: int, num_runs: int) -> Trials:
    """Many trials in each run: canaries that pull at places of their own.

    Each canary is in a run's data set or not by a coin. With all others as they are, the two data
    sets are neighbors; and as noise, draws and coins of different places are independent, so are
    the trials (compare Steinke, Nasr and Jagielski 2023, "Privacy auditing with one training run").
    """
    coins = np.random.default_rng()
    canaries = np.eye(num_canaries)
    without, with_one = [], []
    for _ in range(num_runs):
        is_in = coins.random(num_canaries) < 1 / 2
        ratios = steps.log_ratios(steps.released(canaries[is_in]).T)
        without.append(ratios[~is_in])
        with_one.append(ratios[is_in])
    return Trials(np.concatenate(without), np.concatenate(with_one))


def opposed_trials(steps: AuditedSteps, num_others: int) -> Trials:
    """One trial a step: many subjects pull one way, and one subject more the other way.

    What a site's own number of subjects scales, as a mean over its own batch, gives that subject
    away: it shifts the others' large sum.

    Args:
        steps: of a sample rate of 1, so that steps of weights set to 0 are independent trials.
        num_others: the subjects of both data sets.
    """
    others = np.ones((num_others, 1))
    both = [others, np.concatenate([others, -np.ones((1, 1))])]
    return Trials(*(steps.log_ratios(num_others - steps.released(rows)) for rows in both))
