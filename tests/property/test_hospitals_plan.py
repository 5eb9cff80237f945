"""Properties of synthetic hospitals over any plan."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.errors import UsageError
from fedehr_simulations.hospitals.catalog import CodeGroup, zipf_popularity
from fedehr_simulations.hospitals.habit import HabitSampler
from fedehr_simulations.hospitals.outcomes import TASKS
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.hospitals.population import make_hospitals

plans = st.builds(
    HospitalsPlan,
    num_subjects=st.integers(600, 1_500),
    num_sites=st.integers(2, 8),
    seed=st.integers(0, 2**31),
)


@given(plan=plans)
def test_sizes_add_up_and_names_keep_the_order_of_size(plan: HospitalsPlan) -> None:
    assert sum(plan.site_sizes) == plan.num_subjects
    assert min(plan.site_sizes) >= 9
    assert plan.site_sizes == sorted(plan.site_sizes, reverse=True)
    assert plan.site_names == sorted(plan.site_names)


@given(num_subjects=st.integers(100, 1_500), num_sites=st.integers(2, 8))
def test_a_ratio_of_one_makes_hospitals_of_one_size(num_subjects: int, num_sites: int) -> None:
    sizes = HospitalsPlan(num_subjects, num_sites, size_ratio=1.0).site_sizes
    assert sum(sizes) == num_subjects
    assert max(sizes) - min(sizes) <= 1


@given(ratio=st.floats(1, 40))
def test_the_ratio_is_that_of_the_largest_to_the_smallest(ratio: float) -> None:
    sizes = HospitalsPlan(1_000_000, 4, size_ratio=ratio).site_sizes
    assert sizes[0] / sizes[-1] == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize("ratio", [0.5, 0.0, -1.0, 1e6, float("nan")])
def test_an_odd_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(UsageError, match="--size-ratio"):
        HospitalsPlan(size_ratio=ratio)


@settings(max_examples=20, deadline=None)
@given(plan=plans)
def test_nobody_has_what_the_site_lacks_and_everyone_has_something(plan: HospitalsPlan) -> None:
    made = make_hospitals(plan)
    present = made.patients.severity > 0
    count = present.sum(axis=1)
    assert count.min() >= 1
    assert count.max() <= 4
    lacking = made.conditions.mix[made.patients.site] == 0
    assert not (present & lacking).any()
    for task in TASKS:
        probability = made.outcomes.probability[task]
        assert ((probability > 0) & (probability < 1)).all()
    assert made.outcomes.probability["death"].mean() == pytest.approx(0.18, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(plan=plans)
def test_visits_of_a_patient_never_overlap(plan: HospitalsPlan) -> None:
    visits = make_hospitals(plan).visits
    order = np.lexsort((visits.start_hours, visits.patient))
    same = np.diff(visits.patient[order]) == 0
    ends = (visits.start_hours + visits.length_hours)[order][:-1]
    assert (ends < visits.start_hours[order][1:])[same].all()


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 40), min_size=1, max_size=6),
    num_sites=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_a_site_draws_only_from_the_group_and_only_what_it_uses(
    sizes: list[int], num_sites: int, seed: int
) -> None:
    groups = [
        CodeGroup([f"{g}|{c}" for c in range(size)], zipf_popularity(size, num_sites))
        for g, size in enumerate(sizes)
    ]
    rng = np.random.default_rng(seed)
    group, site = rng.integers(len(sizes), size=500), rng.integers(num_sites, size=500)
    drawn = HabitSampler(groups).draw(group, site, rng)
    for code, g, s in zip(drawn, group, site, strict=True):
        owner, place = code.split("|")
        assert int(owner) == g
        assert groups[g].popularity[s, int(place)] > 0
