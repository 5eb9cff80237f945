"""Events: codes, drugs and labs of each visit, and what only happens after the prediction."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedehr_shared.meds.schema import BIRTH_CODE, DATA_SCHEMA
from fedehr_simulations.hospitals.catalog import (
    ADMISSION_CODES,
    DEATH_CODE,
    DISCHARGE_CODES,
    SEX_CODES,
)
from fedehr_simulations.hospitals.conditions import NUM_LABS
from fedehr_simulations.hospitals.habit import HabitSampler
from fedehr_simulations.hospitals.population import Hospitals
from fedehr_simulations.hospitals.visits import PREDICTION_HOURS, to_time

CODES_PER_SEVERITY = 1.2
"""Mean number of a condition's codes in an index visit, per unit of severity."""
EARLIER_FACTOR = 0.6
"""Visits other than the index visit show the conditions less."""
NOISE_CODES_PER_VISIT, DRUGS_PER_SEVERITY, LABS_PER_VISIT = 1.5, 0.7, 6.0
LATER_LABS_PER_DAY, LATER_SHIFT_SD = 1.0, 1.5
LAB_LOG_SD = 0.4
HOURS_PER_YEAR = 365.25 * 24.0


@dataclass(frozen=True)
class EventBatch:
    """E events of one kind; `visit` is a row of `Visits`, or -1 outside any."""

    patient: NDArray[np.int64]
    visit: NDArray[np.int64]
    hours: NDArray[np.float64]
    code: NDArray[np.object_]
    value: NDArray[np.float64]


class EventMaker:
    """Turns patients, visits and outcomes into events, one method a kind."""

    def __init__(self, made: Hospitals) -> None:
        plan, patients, visits = made.plan, made.patients, made.visits
        self._rng = plan.generator("events")
        self._conditions, self._catalog = made.conditions, made.catalog
        self._patients, self._visits, self._outcomes = patients, visits, made.outcomes
        factor = np.where(visits.is_index, 1.0, EARLIER_FACTOR)
        self._severity = patients.severity[visits.patient] * factor[:, None]
        self._lab_level = self._rng.uniform(2.0, 100.0, NUM_LABS)
        habits = self._rng.dirichlet(np.full(NUM_LABS, 2.0), size=plan.num_sites)
        self._lab_habit = np.cumsum(habits, axis=1)

    def make_table(self) -> pa.Table:
        """All events as one table of `DATA_SCHEMA`, in no order."""
        batches = [
            self._static(),
            self._diagnoses(),
            self._noise(),
            self._drugs(),
            self._labs(),
            self._later_labs(),
            self._admissions(),
            self._discharges(),
            self._deaths(),
        ]
        return pa.concat_tables([self._to_table(batch) for batch in batches])

    def _static(self) -> EventBatch:
        """Sex (no time) and birth."""
        num = len(self._patients)
        birth = self._visits.index_start_hours - self._patients.age_years * HOURS_PER_YEAR
        sex = np.where(self._patients.is_male, SEX_CODES[1], SEX_CODES[0]).astype(object)
        return EventBatch(
            patient=np.tile(np.arange(num), 2),
            visit=np.full(2 * num, -1),
            hours=np.concatenate([np.full(num, np.nan), birth]),
            code=np.concatenate([sex, np.full(num, BIRTH_CODE, dtype=object)]),
            value=np.full(2 * num, np.nan),
        )

    def _diagnoses(self) -> EventBatch:
        visit, condition = _repeat(self._rng.poisson(CODES_PER_SEVERITY * self._severity))
        code = HabitSampler(self._catalog.synonyms).draw(condition, self._site(visit), self._rng)
        return self._early(visit, code)

    def _noise(self) -> EventBatch:
        visit, group = _repeat(self._rng.poisson(NOISE_CODES_PER_VISIT, (len(self._visits), 1)))
        code = HabitSampler([self._catalog.noise]).draw(group, self._site(visit), self._rng)
        return self._early(visit, code)

    def _drugs(self) -> EventBatch:
        visit, condition = _repeat(self._rng.poisson(DRUGS_PER_SEVERITY * self._severity))
        group = self._conditions.drug_class[condition]
        code = HabitSampler(self._catalog.drugs).draw(group, self._site(visit), self._rng)
        return self._early(visit, code)

    def _labs(self) -> EventBatch:
        visit, _ = _repeat(self._rng.poisson(LABS_PER_VISIT, (len(self._visits), 1)))
        return self._measure(visit, self._early_hours(visit), np.zeros(len(visit)))

    def _later_labs(self) -> EventBatch:
        """Labs of the index visit after the prediction; they worsen in those who die."""
        visits = self._visits
        later = np.where(visits.is_index, visits.length_hours - PREDICTION_HOURS, 0.0)
        count = np.maximum(self._rng.poisson(LATER_LABS_PER_DAY * later / 24.0), visits.is_index)
        visit, _ = _repeat(count[:, None])
        share = self._rng.uniform(0.02, 0.98, len(visit))
        hours = visits.start_hours[visit] + PREDICTION_HOURS + share * later[visit]
        died = self._outcomes.label["death"][visits.patient[visit]]
        return self._measure(visit, hours, np.where(died, LATER_SHIFT_SD, 0.0))

    def _admissions(self) -> EventBatch:
        visit = np.arange(len(self._visits))
        emergency = self._rng.random(len(visit)) < 0.6
        code = np.where(emergency, ADMISSION_CODES[0], ADMISSION_CODES[1]).astype(object)
        return self._batch(visit, self._visits.start_hours, code)

    def _discharges(self) -> EventBatch:
        visit = np.arange(len(self._visits))
        code = np.where(self._is_fatal(), DISCHARGE_CODES[1], DISCHARGE_CODES[0]).astype(object)
        return self._batch(visit, self._visits.start_hours + self._visits.length_hours, code)

    def _deaths(self) -> EventBatch:
        visit = np.flatnonzero(self._is_fatal())
        hours = (self._visits.start_hours + self._visits.length_hours)[visit]
        return self._batch(visit, hours, np.full(len(visit), DEATH_CODE, dtype=object))

    def _measure(
        self, visit: NDArray[np.int64], hours: NDArray[np.float64], shift: NDArray[np.float64]
    ) -> EventBatch:
        """Labs by the site's habit; severity and `shift` move them, in standard deviations."""
        draw = self._rng.random(len(visit))[:, None]
        lab = np.minimum((draw > self._lab_habit[self._site(visit)]).sum(axis=1), NUM_LABS - 1)
        effect = (self._severity[visit] * self._conditions.lab_effects[lab]).sum(axis=1)
        deviation = effect + shift + self._rng.normal(size=len(visit))
        level = self._lab_level[lab]
        value = np.where(
            lab % 2 == 1, level * np.exp(LAB_LOG_SD * deviation), level * (1 + 0.2 * deviation)
        )
        return self._batch(visit, hours, np.array(self._catalog.labs, dtype=object)[lab], value)

    def _early(self, visit: NDArray[np.int64], code: NDArray[np.object_]) -> EventBatch:
        return self._batch(visit, self._early_hours(visit), code)

    def _early_hours(self, visit: NDArray[np.int64]) -> NDArray[np.float64]:
        """Within the visit's first 23 hours, so before the prediction."""
        return self._visits.start_hours[visit] + self._rng.uniform(0.1, 23.0, len(visit))

    def _batch(
        self,
        visit: NDArray[np.int64],
        hours: NDArray[np.float64],
        code: NDArray[np.object_],
        value: NDArray[np.float64] | None = None,
    ) -> EventBatch:
        empty = np.full(len(visit), np.nan)
        patient = self._visits.patient[visit]
        return EventBatch(patient, visit, hours, code, empty if value is None else value)

    def _site(self, visit: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._patients.site[self._visits.patient[visit]]

    def _is_fatal(self) -> NDArray[np.bool_]:
        return self._visits.is_index & self._outcomes.label["death"][self._visits.patient]

    def _to_table(self, batch: EventBatch) -> pa.Table:
        no_time = np.isnan(batch.hours)
        time = to_time(np.where(no_time, 0.0, batch.hours))
        columns = {
            "subject_id": pa.array(self._patients.subject_id[batch.patient]),
            "time": pa.array(time, mask=no_time),
            "code": pa.array(batch.code, pa.string()),
            "numeric_value": pa.array(batch.value.astype(np.float32), mask=np.isnan(batch.value)),
            "visit_id": pa.array(batch.visit + 1, mask=batch.visit < 0),
        }
        return pa.table(columns, schema=DATA_SCHEMA)


def _repeat(count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of `count` [V, G], each repeated as often as its cell says."""
    cells = np.repeat(np.arange(count.size), count.ravel())
    row, column = np.divmod(cells, count.shape[1])
    return row, column
