"""`subject_epsilon`: what a history costs, by Renyi differential privacy; an upper bound.

Steps compose at each order (Mironov 2017), the Poisson-sampled Gaussian as in Mironov, Talwar
and Zhang (2019); epsilon follows at the best order (Canonne, Kamath and Steinke 2020,
Proposition 12). All of it is dp-accounting's. Neighboring data sets differ by one unit, added
or removed.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from fedehr_shared.privacy.noisy_steps import NoisySteps, merged

_LEAST_RATE_BY_NOISE = 1e-6
"""Below it the sums over a step's privacy loss drown in rounding, and would come to nothing."""


def subject_epsilon(history: Iterable[NoisySteps], delta: float) -> float:
    """The epsilon of a history at `delta`; 0 for an empty one, infinite without noise.

    Args:
        history: in any order, equal steps apart or together.
        delta: of the whole history; above 0.
    """
    return _epsilon_of(merged(history), delta)


def events_of(history: Iterable[NoisySteps]) -> Any:
    """The history as dp-accounting's event, for an accountant of one's own choice."""
    from dp_accounting import dp_event

    steps = [
        dp_event.SelfComposedDpEvent(_step_event(each), each.num_steps) for each in merged(history)
    ]
    return dp_event.ComposedDpEvent(steps)


@lru_cache(maxsize=4_096)
def _epsilon_of(history: tuple[NoisySteps, ...], delta: float) -> float:
    if not history:
        return 0.0
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(_orders())
    with _without_words():
        accountant.compose(events_of(_sound(each) for each in history))
        return float(accountant.get_epsilon(delta))


@contextmanager
def _without_words() -> Iterator[None]:
    """It warns of each order whose sum does not converge, and leaves that one out soundly."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _sound(steps: NoisySteps) -> NoisySteps:
    """The same steps at a rate that can be reckoned with: a higher one never costs less."""
    least = min(1.0, _LEAST_RATE_BY_NOISE * steps.noise_multiplier)
    rate = max(steps.sample_rate, least)
    return NoisySteps(steps.noise_multiplier, rate, steps.num_steps)


@lru_cache(maxsize=1)
def _orders() -> tuple[float, ...]:
    """dp-accounting's own, and more where those lie far apart: never above what it finds."""
    from dp_accounting.rdp.rdp_privacy_accountant import DEFAULT_RDP_ORDERS

    wide = [round(64 * 1.2**power) for power in range(15)]
    return tuple(sorted({*DEFAULT_RDP_ORDERS, *wide}))


def _step_event(steps: NoisySteps) -> Any:
    from dp_accounting import dp_event

    gaussian = dp_event.GaussianDpEvent(steps.noise_multiplier)
    if steps.sample_rate >= 1:
        return gaussian
    return dp_event.PoissonSampledDpEvent(steps.sample_rate, gaussian)
