"""Drug names: what hospitals write differently becomes one name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.importers.eicu.drugs import normalize_drug, split_infusion

SPELLINGS = [
    ["ASPIRIN 81 MG PO CHEW", "aspirin", "ASPIRIN CHEWABLE", "Aspirin EC 81 MG PO TBEC"],
    ["2 ML VIAL : ONDANSETRON HCL 4 MG/2ML IJ SOLN", "ondansetron HCl (PF) (ZOFRAN) inj 4 mg"],
    ["10 ML  -  NICARDIPINE HCL 2.5 MG/ML IV SOLN", "NICARDIPINE HCL"],
    ["SODIUM CHLORIDE 0.9 % IV : 1000 ML", "1000 ML FLEX CONT : SODIUM CHLORIDE 0.9 % IV SOLN"],
    ["0.9%NaCl 1,000 mL", "NaCl 0.9%"],
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda s: s[1])
def test_spellings_of_one_drug_share_a_name(spellings: list[str]) -> None:
    assert len({normalize_drug(text) for text in spellings}) == 1


def test_different_drugs_keep_different_names() -> None:
    names = [normalize_drug(spellings[0]) for spellings in SPELLINGS]
    assert len(set(names)) == len(SPELLINGS)
    assert normalize_drug("10 MG PO TABS") is None


@given(st.text(max_size=60))
def test_a_name_is_clean_and_stable(text: str) -> None:
    name = normalize_drug(text)
    if name is not None:
        assert name == " ".join(name.split()) != ""
        assert "//" not in name


@given(st.sampled_from(["aspirin", "heparin", "insulin"]), st.integers(1, 999))
def test_strength_and_case_do_not_matter(drug: str, strength: int) -> None:
    assert normalize_drug(f"{drug} {strength} mg tab") == normalize_drug(drug.upper())


@pytest.mark.parametrize(
    ("text", "name", "unit"),
    [
        ("Norepinephrine (mcg/min)", "NOREPINEPHRINE", "MCG/MIN"),
        ("Pantoprazole (mg/hr) (mg/hr)", "PANTOPRAZOLE", "MG/HR"),
        ("Vasopressin ()", "VASOPRESSIN", None),
        ("Nitroglycerin (Unknown)", "NITROGLYCERIN", None),
        ("Volume (ml) Phenylephrine ()", "PHENYLEPHRINE", None),
        ("Furosemide", "FUROSEMIDE", None),
        ("IVF (ml/hr)", None, "ML/HR"),
    ],
)
def test_infusions_split_into_name_and_unit(text: str, name: str | None, unit: str | None) -> None:
    assert split_infusion(text) == (name, unit)
