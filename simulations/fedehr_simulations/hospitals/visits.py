"""Visits in time: some before the index visit, the index visit, sometimes one after.

The prediction is made 24 hours into the index visit. Its end depends on the outcomes: a long
stay lasts over 7 days, a death ends the stay. Whoever reads past the prediction reads the
answer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.hospitals.outcomes import Outcomes
from fedehr_simulations.hospitals.patients import Patients
from fedehr_simulations.hospitals.plan import HospitalsPlan

PREDICTION_HOURS = 24.0
LONG_STAY_HOURS = 7 * 24.0
MAX_EARLIER = 5
FIRST_INDEX_DAY = np.datetime64("2021-01-01", "us")
INDEX_SPAN_HOURS = 2 * 365 * 24.0
MIN_GAP_HOURS = 15 * 24.0
"""Longer than any stay before the index visit, so that visits never overlap."""


@dataclass(frozen=True)
class Visits:
    """V visits of all patients.

    Attributes:
        patient: [V], row of the patient.
        start_hours: [V], hours since `FIRST_INDEX_DAY`; negative before it.
        length_hours: [V].
        is_index: [V].
        index_start_hours: [N], the patient's index visit.
    """

    patient: NDArray[np.int64]
    start_hours: NDArray[np.float64]
    length_hours: NDArray[np.float64]
    is_index: NDArray[np.bool_]
    index_start_hours: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.patient)


def draw_visits(plan: HospitalsPlan, patients: Patients, outcomes: Outcomes) -> Visits:
    """Draw every patient's visits."""
    rng = plan.generator("visits")
    num = len(patients)
    index_start = rng.uniform(0.0, INDEX_SPAN_HOURS, num)
    index_length = _index_lengths(outcomes.label["long_stay"], rng)
    earlier, earlier_start = _earlier_starts(index_start, rng)
    returns = np.flatnonzero(~outcomes.label["death"] & (rng.random(num) < 0.35))
    gap = MIN_GAP_HOURS + rng.exponential(90 * 24.0, len(returns))
    other_lengths = rng.uniform(24.0, 120.0, len(earlier) + len(returns))
    return Visits(
        patient=np.concatenate([np.arange(num), earlier, returns]),
        start_hours=np.concatenate(
            [index_start, earlier_start, (index_start + index_length)[returns] + gap]
        ),
        length_hours=np.concatenate([index_length, other_lengths]),
        is_index=np.arange(num + len(other_lengths)) < num,
        index_start_hours=index_start,
    )


def to_time(hours: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Hours since `FIRST_INDEX_DAY` as microsecond times, to the second."""
    seconds = np.rint(hours * 3_600.0).astype("timedelta64[s]")
    return np.asarray(FIRST_INDEX_DAY + seconds, dtype="datetime64[us]")


def _index_lengths(is_long: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """All over 24 hours (the patient is still there); over 7 days exactly for long stays."""
    short = rng.uniform(PREDICTION_HOURS + 6.0, LONG_STAY_HOURS - 1.0, len(is_long))
    long = LONG_STAY_HOURS + 12.0 + rng.exponential(72.0, len(is_long))
    return np.where(is_long, long, short)


def _earlier_starts(
    index_start: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Patient rows and starts of the visits before the index visit, 0 to 5 a patient."""
    count = np.minimum(rng.poisson(1.8, len(index_start)), MAX_EARLIER)
    gaps = MIN_GAP_HOURS + rng.exponential(120 * 24.0, (len(index_start), MAX_EARLIER))
    starts = index_start[:, None] - np.cumsum(gaps, axis=1)
    patient, place = np.nonzero(np.arange(MAX_EARLIER)[None, :] < count[:, None])
    return patient.astype(np.int64), starts[patient, place]
