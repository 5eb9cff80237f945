"""Patients: which conditions they carry and how severe, their age and sex."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_simulations.hospitals.conditions import NUM_CONDITIONS, Conditions
from fedehr_simulations.hospitals.plan import HospitalsPlan

MAX_CONDITIONS = 4
MEAN_AGE_YEARS, SD_AGE_YEARS = 63.0, 15.0


@dataclass(frozen=True)
class Patients:
    """N patients over all sites.

    Attributes:
        subject_id: [N], unique over the federation.
        site: [N], index of the hospital.
        severity: [N, K], 0 where the condition is absent.
        age_years: [N], at the index visit.
        is_male: [N].
    """

    subject_id: NDArray[np.int64]
    site: NDArray[np.int64]
    severity: NDArray[np.float64]
    age_years: NDArray[np.float64]
    is_male: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.subject_id)


def draw_patients(plan: HospitalsPlan, conditions: Conditions) -> Patients:
    """Draw the patients of `plan`, each with one to four conditions of the site's mix."""
    rng = plan.generator("patients")
    site = np.repeat(np.arange(plan.num_sites), plan.site_sizes)
    present = _choose(conditions.mix[site], rng.integers(1, MAX_CONDITIONS + 1, len(site)), rng)
    severity = rng.gamma(2.0, 0.6, size=(len(site), NUM_CONDITIONS))
    return Patients(
        subject_id=rng.permutation(len(site)).astype(np.int64) + 1,
        site=site,
        severity=np.where(present, severity, 0.0),
        age_years=np.clip(rng.normal(MEAN_AGE_YEARS, SD_AGE_YEARS, len(site)), 18.0, 95.0),
        is_male=rng.random(len(site)) < 0.5,
    )


def _choose(
    weights: NDArray[np.float64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """[N, K]: `sizes[n]` columns chosen without replacement by `weights[n]` (Gumbel top-k)."""
    with np.errstate(divide="ignore"):
        keys = np.log(weights) + rng.gumbel(size=weights.shape)
    place = np.argsort(np.argsort(-keys, axis=1), axis=1)
    return (place < sizes[:, None]) & (weights > 0)
