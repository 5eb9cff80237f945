"""`noise_multiplier`: the least noise that keeps a whole study within its epsilon."""

from collections.abc import Sequence

from fedehr_shared.errors import ConfigError
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.rdp import subject_epsilon

_DIGITS = 1_000
"""Four significant digits: mantissas run from this to ten times this."""
_LEAST, _MOST = -2, 3
"""Powers of ten between which noise is looked for."""


def noise_multiplier(
    target_epsilon: float, delta: float, rates_and_steps: Sequence[tuple[float, int]]
) -> float:
    """The least noise multiplier of four significant digits that stays within the target.

    One multiplier for all steps, by RDP. Among the numbers of four digits it is found exactly,
    so that every machine finds the same.

    Args:
        target_epsilon: of all steps together.
        delta: of all steps together.
        rates_and_steps: sample rates, each with its number of steps.

    Raises:
        ConfigError: no multiplier up to 1,000 is enough, or there are no steps.
    """
    if not sum(num for _, num in rates_and_steps):
        raise ConfigError("noise is to be found for no steps at all. Give the phase rounds.")

    def is_enough(place: int) -> bool:
        noise = _multiplier_at(place)
        history = [NoisySteps(noise, rate, num) for rate, num in rates_and_steps]
        return subject_epsilon(history, delta) <= target_epsilon

    low, high = 0, (_MOST - _LEAST) * 9 * _DIGITS
    if not is_enough(high):
        raise ConfigError(
            f"[privacy] target_epsilon = {target_epsilon:g} needs noise above {10**_MOST} times "
            "what one unit can change: raise it, or give fewer rounds and steps."
        )
    while low < high:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle + 1
    return _multiplier_at(high)


def _multiplier_at(place: int) -> float:
    """The numbers of four significant digits in their order, 0.01 at 0."""
    decade, rest = divmod(place, 9 * _DIGITS)
    return float(f"{_DIGITS + rest}e{decade + _LEAST - 3}")
