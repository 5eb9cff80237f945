"""Epsilon of random histories: by RDP and PLD, against dp-accounting, Opacus and the truth."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from dp_accounting.rdp.rdp_privacy_accountant import DEFAULT_RDP_ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant as OpacusRdp

from fedehr_shared.privacy.gaussian import gaussian_delta
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.pld import epsilon_bounds
from fedehr_shared.privacy.rdp import subject_epsilon

DELTA = 1e-5
History = list[NoisySteps]


def _random_history(seed: int) -> History:
    """Two to four studies of one cohort, one noisy vocabulary among them."""
    generator = np.random.default_rng(seed)
    trained = [
        NoisySteps(
            round(float(generator.uniform(1.0, 4.0)), 3),
            round(float(generator.uniform(0.005, 0.1)), 4),
            int(generator.integers(20, 200)),
        )
        for _ in range(int(generator.integers(1, 4)))
    ]
    return [*trained, NoisySteps(round(float(generator.uniform(3.0, 8.0)), 3), 1.0, 1)]


def _event(history: History) -> dp_event.DpEvent:
    events = []
    for steps in history:
        event: dp_event.DpEvent = dp_event.GaussianDpEvent(steps.noise_multiplier)
        if steps.sample_rate < 1:
            event = dp_event.PoissonSampledDpEvent(steps.sample_rate, event)
        events.append(dp_event.SelfComposedDpEvent(event, steps.num_steps))
    return dp_event.ComposedDpEvent(events)


@pytest.mark.parametrize(
    "seed", [3, 6, *(pytest.param(n, marks=pytest.mark.long) for n in (0, 1, 2, 4, 5, 7, 8, 9))]
)
def test_ten_random_histories(seed: int) -> None:
    history = _random_history(seed)
    rdp, pld = RdpAccountant(), PLDAccountant()
    rdp.compose(_event(history))
    pld.compose(_event(history))
    ours, bounds = subject_epsilon(history, DELTA), epsilon_bounds(history, DELTA)
    assert ours == pytest.approx(rdp.get_epsilon(DELTA), rel=1e-3)
    assert ours >= bounds.pessimistic
    assert ours >= pld.get_epsilon(DELTA)
    assert bounds.optimistic <= pld.get_epsilon(DELTA) <= bounds.pessimistic * (1 + 1e-6)
    assert bounds.optimistic > 0.5 * bounds.pessimistic


@pytest.mark.filterwarnings("ignore:Optimal order")
@pytest.mark.parametrize("seed", range(3))
def test_opacus_finds_the_same(seed: int) -> None:
    history = _random_history(seed)
    opacus = OpacusRdp()
    for steps in history:
        for _ in range(steps.num_steps):
            opacus.step(noise_multiplier=steps.noise_multiplier, sample_rate=steps.sample_rate)
    theirs = opacus.get_epsilon(DELTA, alphas=DEFAULT_RDP_ORDERS)
    # Opacus subtracts where dp-accounting adds a fractional order's smallest terms.
    assert theirs * (1 - 1e-9) <= subject_epsilon(history, DELTA) <= theirs * 1.02


histories = st.lists(
    st.builds(
        NoisySteps,
        st.sampled_from([1.5, 3.0, 10.0, 60.0]),
        st.sampled_from([0.001, 0.02, 0.1, 1.0]),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=2,
)


@settings(deadline=None, max_examples=12)
@given(history=histories, delta=st.sampled_from([1e-3, 1e-5, 1e-9]), data=st.data())
def test_the_borders_of_rounds_and_their_order_change_nothing(
    history: History, delta: float, data: st.DataObject
) -> None:
    split = [
        part
        for steps in history
        for part in (
            NoisySteps(steps.noise_multiplier, steps.sample_rate, 1),
            NoisySteps(steps.noise_multiplier, steps.sample_rate, steps.num_steps - 1),
        )
    ]
    turned = data.draw(st.permutations(split))
    assert subject_epsilon(turned, delta) == subject_epsilon(history, delta)


@settings(deadline=None, max_examples=6)
@given(history=histories, delta=st.sampled_from([1e-3, 1e-5, 1e-9]))
def test_rdp_is_never_below_the_pessimistic_losses(history: History, delta: float) -> None:
    bounds = epsilon_bounds(history, delta)
    assert bounds.optimistic <= bounds.pessimistic
    # What the losses are rounded up to is all that they may be above.
    assert subject_epsilon(history, delta) >= bounds.pessimistic - 1e-4


@settings(deadline=None, max_examples=12)
@given(history=histories, more=histories, delta=st.sampled_from([1e-3, 1e-6]))
def test_more_steps_never_cost_less(history: History, more: History, delta: float) -> None:
    before, after = subject_epsilon(history, delta), subject_epsilon([*history, *more], delta)
    assert after >= before
    assert subject_epsilon(history, delta / 10) >= before


@settings(deadline=None, max_examples=12)
@given(
    noise=st.floats(2.0, 500.0),
    num_steps=st.integers(1, 50),
    delta=st.sampled_from([1e-3, 1e-5, 1e-9]),
)
def test_without_sampling_it_is_the_gaussian_mechanism(
    noise: float, num_steps: int, delta: float
) -> None:
    history = [NoisySteps(noise, 1.0, num_steps)]
    one = noise / math.sqrt(num_steps)
    rdp, bounds = subject_epsilon(history, delta), epsilon_bounds(history, delta)
    assert gaussian_delta(one, rdp) <= delta * (1 + 1e-9)
    assert gaussian_delta(one, bounds.pessimistic) <= delta * (1 + 1e-6)
    if bounds.optimistic > 0:
        assert gaussian_delta(one, bounds.optimistic) >= delta * (1 - 1e-6)


@settings(deadline=None, max_examples=30)
@given(
    noise=st.floats(0.3, 1e5),
    rate=st.floats(1e-9, 1.0),
    num_steps=st.integers(1, 10_000),
)
def test_no_step_is_free(noise: float, rate: float, num_steps: int) -> None:
    # At epsilon = 0 a step's delta is the distance between its outcomes with and without a unit.
    distance = rate * (2 * NormalDist().cdf(0.5 / noise) - 1)
    if distance > 1.01e-12:
        assert subject_epsilon([NoisySteps(noise, rate, num_steps)], 1e-12) > 0


def test_rounding_does_not_make_rare_steps_free() -> None:
    # Their sums come to less than 1 in floating-point numbers: dp-accounting calls that nothing.
    steps = NoisySteps(1_000.0, 1e-8, 1_000)
    accountant = RdpAccountant()
    accountant.compose(_event([steps]))
    assert accountant.get_epsilon(1e-12) == 0
    assert subject_epsilon([steps], 1e-12) > 0


def test_nothing_costs_nothing_and_no_noise_costs_everything() -> None:
    assert subject_epsilon([], DELTA) == 0
    assert epsilon_bounds([], DELTA).pessimistic == 0
    assert subject_epsilon([NoisySteps(1.0, 0.1, 0)], DELTA) == 0
    for rate in (0.1, 1.0):
        assert subject_epsilon([NoisySteps(0.0, rate, 1)], DELTA) == math.inf
        assert epsilon_bounds([NoisySteps(0.0, rate, 1)], DELTA).pessimistic == math.inf


def test_accounting_says_nothing_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    # dp-accounting warns of each order that does not converge: thousands of lines a search.
    subject_epsilon([NoisySteps(0.325, 0.05, 17)], DELTA)
    assert not caplog.records
