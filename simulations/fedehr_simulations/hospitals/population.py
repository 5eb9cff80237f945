"""`Hospitals`: everything that is drawn before the first event is written."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import HELD_OUT
from fedehr_shared.meds.splits import split_subjects
from fedehr_simulations.hospitals.catalog import Catalog, plant_catalog
from fedehr_simulations.hospitals.conditions import Conditions, plant_conditions
from fedehr_simulations.hospitals.further_outcomes import FurtherOutcomes, draw_further_outcomes
from fedehr_simulations.hospitals.outcomes import Outcomes, draw_outcomes
from fedehr_simulations.hospitals.patients import Patients, draw_patients
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.hospitals.visits import Visits, draw_visits


@dataclass(frozen=True)
class Hospitals:
    """What is planted and who was drawn; `is_held_out` [N] follows the split key."""

    plan: HospitalsPlan
    conditions: Conditions
    catalog: Catalog
    patients: Patients
    visits: Visits
    outcomes: Outcomes
    further: FurtherOutcomes
    is_held_out: NDArray[np.bool_]

    @property
    def split_key(self) -> str:
        """The federation folder's key."""
        return split_key_of(self.plan)


def make_hospitals(plan: HospitalsPlan) -> Hospitals:
    """Draw conditions, codes, patients, outcomes and visits of `plan`."""
    conditions = plant_conditions(plan)
    patients = draw_patients(plan, conditions)
    outcomes = draw_outcomes(plan, conditions, patients)
    visits = draw_visits(plan, patients, outcomes)
    splits = split_subjects(patients.subject_id.tolist(), split_key_of(plan))
    return Hospitals(
        plan=plan,
        conditions=conditions,
        catalog=plant_catalog(plan, conditions),
        patients=patients,
        visits=visits,
        outcomes=outcomes,
        further=draw_further_outcomes(plan, outcomes, visits),
        is_held_out=np.array(splits) == HELD_OUT,
    )


def split_key_of(plan: HospitalsPlan) -> str:
    """A key of its own for each seed."""
    return f"hospitals-{plan.seed}"
