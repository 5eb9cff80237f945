"""Parents: each code climbs level by level to a top, and never in a circle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.importers.eicu.codes import structural_parent
from fedehr_client.importers.eicu.timeline import subject_id_of


def _climb(code: str) -> list[str]:
    chain = [code]
    while (parent := structural_parent(chain[-1])) is not None:
        assert parent not in chain
        chain.append(parent)
    return chain


@pytest.mark.parametrize(
    ("code", "ancestors"),
    [
        ("DIAGNOSIS//a|b / c|d", ["DIAGNOSIS//a|b / c", "DIAGNOSIS//a"]),
        ("INFUSION//HEPARIN//UNITS/HR", ["INFUSION//HEPARIN"]),
        ("INFUSION//HEPARIN", []),
        ("ICU_ADMISSION//MICU", ["ICU_ADMISSION"]),
        ("MEDICATION//ASPIRIN", []),
        ("LAB//k", []),
        ("SEX//F", []),
        ("MEDS_BIRTH", []),
    ],
)
def test_ancestors(code: str, ancestors: list[str]) -> None:
    assert _climb(code)[1:] == ancestors


LEVEL = st.text(st.characters(exclude_characters="|/"), min_size=1, max_size=8)


@given(st.sampled_from(["DIAGNOSIS", "TREATMENT"]), st.lists(LEVEL, min_size=1, max_size=6))
def test_a_path_has_one_ancestor_a_level(kind: str, levels: list[str]) -> None:
    chain = _climb(f"{kind}//" + "|".join(levels))
    assert len(chain) == len(levels)
    assert chain[-1] == f"{kind}//{levels[0]}"


@given(st.lists(st.text(max_size=20), unique=True, max_size=50))
def test_subject_ids_are_positive_and_distinct(names: list[str]) -> None:
    ids = [subject_id_of(name) for name in names]
    assert all(0 <= number < 2**63 for number in ids)
    assert len(set(ids)) == len(names)
