"""Codes that older versions and tools had for what MEDS and fedehr name today."""

from fedehr_client.importers.engine.typed_column import quote

RENAMED = {
    "SNOMED/3950001": "MEDS_BIRTH",
    "SNOMED/184099003": "MEDS_BIRTH",
    "SNOMED/419620001": "MEDS_DEATH",
    **{f"{name}{sign}{sex}": f"SEX//{sex}"
       for name in ("GENDER", "Gender") for sign in ("//", "/") for sex in ("F", "M", "U")},
}  # fmt: skip
"""Birth and death as `meds` named them before 0.3, sex as MIMIC_IV_MEDS and meds_etl do."""


def present_code(code: str) -> str:
    """SQL of the code in present words."""
    cases = " ".join(f"WHEN {quote(old)} THEN {quote(new)}" for old, new in RENAMED.items())
    return f"(CASE {code} {cases} ELSE {code} END)"


def is_renamed(code: str) -> str:
    """SQL that is true where the code has another name today."""
    return f"{code} IN ({', '.join(map(quote, RENAMED))})"
