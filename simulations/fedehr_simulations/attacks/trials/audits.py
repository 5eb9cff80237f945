"""The client's private steps, held to their epsilon by what they let out."""

from fedehr_client.privacy.ghost_gradients import GhostGradients
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_simulations.attacks.audit.audited_steps import AuditedSteps, canary_trials
from fedehr_simulations.attacks.audit.empirical_epsilon import (
    epsilon_shown,
    gaussian_epsilon_shown,
)
from fedehr_simulations.attacks.trials.record import AuditResult

CONFIDENCE = 0.999
_NUM_CANARIES, _NUM_RUNS = 1_000, 60
_GRADIENTS = {"hooks": HookedGradients, "ghost clipping": GhostGradients}


def audits() -> tuple[AuditResult, ...]:
    """One step of all subjects, by both ways of clipping, and a few of sampled subjects."""
    whole = [_one_step(name) for name in _GRADIENTS]
    return (*whole, _sampled(0.8, 0.5, 2), _sampled(1.0, 0.25, 8))


def _one_step(name: str) -> AuditResult:
    steps = AuditedSteps(_mechanism(1.0), gradients=_GRADIENTS[name])
    trials = canary_trials(steps, _NUM_CANARIES, _NUM_RUNS)
    delta = 1e-5
    return AuditResult(
        mechanism=f"one step of all, noise multiplier 1, {name}",
        delta=delta,
        num_trials=trials.without.size + trials.with_one.size,
        shown=gaussian_epsilon_shown(trials, delta, CONFIDENCE),
        claimed=subject_epsilon([NoisySteps(1.0, 1.0, 1)], delta),
    )


def _sampled(multiplier: float, rate: float, num_steps: int) -> AuditResult:
    steps = AuditedSteps(_mechanism(multiplier), sample_rate=rate, num_steps=num_steps)
    trials = canary_trials(steps, _NUM_CANARIES, _NUM_RUNS)
    delta = 1e-2
    return AuditResult(
        mechanism=f"{num_steps} steps at rate {rate:g}, noise multiplier {multiplier:g}",
        delta=delta,
        num_trials=trials.without.size + trials.with_one.size,
        shown=epsilon_shown(trials, delta, CONFIDENCE),
        claimed=subject_epsilon([NoisySteps(multiplier, rate, num_steps)], delta),
    )


def _mechanism(multiplier: float) -> Mechanism:
    return Mechanism(noise_multiplier=multiplier, max_grad_norm=1.0, expected_subjects=100.0)
