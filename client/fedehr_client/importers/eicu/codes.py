"""The table of codes: a description where the source gives one, and one parent a code."""

import duckdb
import pyarrow as pa

from fedehr_shared.meds.schema import CODES_SCHEMA

MEASUREMENT_NAMES = {
    "alb": "albumin", "alp": "alkaline phosphatase", "alt": "alanine aminotransferase",
    "ast": "aspartate aminotransferase", "be": "base excess", "bicar": "bicarbonate",
    "bili": "bilirubin", "bili_dir": "direct bilirubin", "bnd": "band neutrophils",
    "bun": "blood urea nitrogen", "ca": "calcium", "cai": "ionized calcium",
    "ck": "creatine kinase", "ckmb": "creatine kinase MB", "cl": "chloride",
    "crea": "creatinine", "crp": "C-reactive protein", "dbp": "diastolic blood pressure",
    "fgn": "fibrinogen", "fio2": "fraction of inspired oxygen", "glu": "glucose",
    "hgb": "hemoglobin", "hr": "heart rate", "inr_pt": "international normalized ratio",
    "k": "potassium", "lact": "lactate", "lymph": "lymphocytes", "map": "mean arterial pressure",
    "mch": "mean corpuscular hemoglobin", "mchc": "mean corpuscular hemoglobin concentration",
    "mcv": "mean corpuscular volume", "methb": "methemoglobin", "mg": "magnesium",
    "na": "sodium", "neut": "neutrophils", "o2sat": "oxygen saturation",
    "pco2": "carbon dioxide partial pressure", "ph": "pH of blood", "phos": "phosphate",
    "plt": "platelets", "po2": "oxygen partial pressure", "ptt": "partial thromboplastin time",
    "resp": "respiratory rate", "sbp": "systolic blood pressure", "temp": "temperature",
    "tnt": "troponin T", "urine": "urine output", "wbc": "white blood cells",
}  # fmt: skip
_PATHS = ("DIAGNOSIS", "TREATMENT", "ADMISSION_DX", "PAST_HISTORY")
_ONE_LEVEL = (
    "ICU_ADMISSION", "HOSPITAL_ADMISSION", "ICU_ADMISSION_SOURCE", "ICU_DISCHARGE",
    "HOSPITAL_DISCHARGE",
)  # fmt: skip


def structural_parent(code: str) -> str | None:
    """The code one level up, read from the code itself; null at the top."""
    kind, _, rest = code.partition("//")
    if kind in _PATHS:
        upper = rest.rpartition("|")[0]
        return f"{kind}//{upper}" if upper else None
    if kind == "INFUSION":
        name, _, unit = rest.partition("//")
        return f"{kind}//{name}" if unit else None
    return kind if kind in _ONE_LEVEL and rest else None


class CodeBook:
    """Descriptions and parents of every code that the source can name."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._descriptions = {
            f"{kind}//{name}": text
            for name, text in MEASUREMENT_NAMES.items()
            for kind in ("LAB", "VITAL")
        }
        self._descriptions.update(_read_pairs(connection, _DESCRIPTIONS))
        self._drug_parents = _read_pairs(connection, _DRUG_PARENTS)

    def table(self, codes: list[str]) -> pa.Table:
        """Rows of `CODES_SCHEMA` for `codes` and all their ancestors, by code."""
        known: dict[str, str | None] = {}
        waiting = list(codes)
        while waiting:
            code = waiting.pop()
            if code in known:
                continue
            parent = self._drug_parents.get(code) or structural_parent(code)
            known[code] = parent
            if parent:
                waiting.append(parent)
        rows = sorted(known)
        columns = {
            "code": rows,
            "description": [self._descriptions.get(code) for code in rows],
            "parent_codes": [[parent] if (parent := known[code]) else [] for code in rows],
            # Diagnoses are charted at the bedside: they are known when entered.
            "delay_hours": pa.nulls(len(rows), pa.float32()),
        }
        return pa.table(columns, schema=CODES_SCHEMA)


def _read_pairs(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    return dict(connection.execute(query).fetchall())


_DESCRIPTIONS = """
    SELECT 'DIAGNOSIS//' || path(diagnosisstring), min('ICD ' || squeeze(icd9code))
    FROM diagnosis WHERE squeeze(icd9code) IS NOT NULL AND path(diagnosisstring) IS NOT NULL
    GROUP BY 1
    UNION ALL
    SELECT 'MEDICATION//HICL//' || drughiclseqno, name FROM (
        SELECT drughiclseqno, name, row_number() OVER (
            PARTITION BY drughiclseqno ORDER BY count(*) DESC, name) AS place
        FROM medication JOIN drugs USING (drugname)
        WHERE drughiclseqno <> 0 AND name IS NOT NULL GROUP BY drughiclseqno, name
    ) WHERE place = 1"""

# A name falls back to an ingredient number only where all rows that carry both agree.
_DRUG_PARENTS = """
    SELECT 'MEDICATION//' || name, 'MEDICATION//HICL//' || min(drughiclseqno)
    FROM medication JOIN drugs USING (drugname)
    WHERE drughiclseqno <> 0 AND name IS NOT NULL
    GROUP BY name HAVING count(DISTINCT drughiclseqno) = 1"""
