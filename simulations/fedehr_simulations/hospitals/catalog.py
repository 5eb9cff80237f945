"""The code catalog: synonyms, noise codes, drugs and labs, and each site's habit with them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedehr_shared.meds.schema import BIRTH_CODE, CODES_SCHEMA, SEX_PREFIX
from fedehr_simulations.hospitals.conditions import (
    NUM_CHAPTERS,
    NUM_CONDITIONS,
    NUM_DRUG_CLASSES,
    NUM_LABS,
    Conditions,
)
from fedehr_simulations.hospitals.plan import HospitalsPlan

MIN_SYNONYMS, MAX_SYNONYMS = 20, 40
NUM_NOISE_CODES = 150
NUM_AGENTS = 8
UNUSED_SHARE = 0.25
"""Share of a group's codes that a site never uses."""
DEATH_CODE = "MEDS_DEATH"
ADMISSION_CODES = ("VISIT//ADMISSION|EMERGENCY", "VISIT//ADMISSION|PLANNED")
DISCHARGE_CODES = ("VISIT//DISCHARGE|HOME", "VISIT//DISCHARGE|DIED")
SEX_CODES = (f"{SEX_PREFIX}F", f"{SEX_PREFIX}M")
LAB_UNITS = ("mmol/L", "ng/mL", "g/L")


@dataclass(frozen=True)
class CodeGroup:
    """Codes that mean the same (or, for noise, nothing), each site with its own habit.

    Attributes:
        codes: the M codes of the group.
        popularity: [S, M], each row adding up to 1.
    """

    codes: list[str]
    popularity: NDArray[np.float64]


@dataclass(frozen=True)
class Catalog:
    """Every code that may occur.

    Attributes:
        synonyms: one group a condition.
        noise: codes without meaning, in the same chapters.
        drugs: one group a drug class.
        labs: one code a lab; odd ones are lognormal, even ones normal.
    """

    synonyms: list[CodeGroup]
    noise: CodeGroup
    drugs: list[CodeGroup]
    labs: list[str]

    def to_table(self) -> pa.Table:
        """`metadata/codes.parquet`: every code, and every parent, once."""
        groups = [*self.synonyms, self.noise, *self.drugs]
        leaves = [code for group in groups for code in group.codes]
        leaves += [*ADMISSION_CODES, *DISCHARGE_CODES]
        plain = [BIRTH_CODE, DEATH_CODE, *SEX_CODES, *self.labs]
        parents = {code: parent_of(code) for code in leaves}
        rows = sorted([*leaves, *plain, *set(parents.values())])
        return pa.table(
            {
                "code": rows,
                "description": [f"synthetic code {code}" for code in rows],
                "parent_codes": [[parents[code]] if code in parents else [] for code in rows],
                "delay_hours": pa.nulls(len(rows), pa.float32()),
            },
            schema=CODES_SCHEMA,
        )


def parent_of(code: str) -> str:
    """`DX//c1|117` lies below `DX//c1`."""
    return code.rsplit("|", 1)[0]


def plant_catalog(plan: HospitalsPlan, conditions: Conditions) -> Catalog:
    """Draw the codes of `plan` and each site's habit."""
    rng = plan.generator("catalog")
    sizes = rng.integers(MIN_SYNONYMS, MAX_SYNONYMS + 1, size=NUM_CONDITIONS)
    noise_chapters = rng.integers(NUM_CHAPTERS, size=NUM_NOISE_CODES)
    chapters = np.concatenate([np.repeat(conditions.chapter, sizes), noise_chapters])
    # Numbers are shuffled within a chapter: a code's name says nothing about its condition.
    codes = _number_within(chapters, rng)
    edges = np.cumsum(sizes)
    synonyms = [
        CodeGroup(list(part), zipf_popularity(len(part), plan.num_sites))
        for part in np.split(codes[: edges[-1]], edges[:-1])
    ]
    noise = CodeGroup(list(codes[edges[-1] :]), zipf_popularity(NUM_NOISE_CODES, plan.num_sites))
    agents = zipf_popularity(NUM_AGENTS, plan.num_sites)
    return Catalog(
        synonyms=synonyms,
        noise=noise,
        drugs=[
            CodeGroup([f"DRUG//d{group}|{agent:02d}" for agent in range(NUM_AGENTS)], agents)
            for group in range(NUM_DRUG_CLASSES)
        ],
        labs=[f"LAB//analyte{lab:02d} {LAB_UNITS[lab % 3]}" for lab in range(NUM_LABS)],
    )


def zipf_popularity(num_codes: int, num_sites: int) -> NDArray[np.float64]:
    """[S, M]: one Zipf law of exponent 1, its ranks rotated from site to site.

    The codes that end last at a site are never used there.
    """
    shift = np.rint(np.arange(num_sites) * num_codes / num_sites).astype(np.int64)
    rank = (np.arange(num_codes)[None, :] + shift[:, None]) % num_codes
    weight = np.where(rank < round(num_codes * (1 - UNUSED_SHARE)), 1.0 / (1.0 + rank), 0.0)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)


def _number_within(chapters: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.str_]:
    names = np.empty(len(chapters), dtype="U16")
    for chapter in range(NUM_CHAPTERS):
        members = np.flatnonzero(chapters == chapter)
        numbers = rng.permutation(len(members))
        names[members] = [f"DX//c{chapter}|{number:03d}" for number in numbers]
    return names
