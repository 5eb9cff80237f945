"""The back-off: exact, ancestors, spelling, buckets of descriptions, [UNK]."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.vocabulary.description import bucket_of, normal_words
from fedehr_shared.vocabulary.resolution import ANCESTOR, BUCKET, EXACT, UNKNOWN_STEP
from fedehr_shared.vocabulary.structure import (
    category_of,
    other_spelling,
    structural_ancestors,
    structural_parent,
)
from fedehr_shared.vocabulary.vocabulary import SPECIAL_TOKENS, UNKNOWN, Vocabulary


def _vocabulary(*codes: str, num_hash_buckets: int = 8) -> Vocabulary:
    return Vocabulary(tuple(sorted(codes)), (None,) * len(codes), num_hash_buckets)


@settings(deadline=None)
@given(
    parents=st.dictionaries(st.sampled_from("ABCDEF"), st.sampled_from("ABCDEFGH")),
    known=st.sets(st.sampled_from("ABCDEFGH"), min_size=1),
    code=st.sampled_from("ABCDEFGHZ"),
    description=st.none() | st.text(max_size=20),
)
def test_a_code_resolves_to_the_first_that_is_known(
    parents: dict[str, str], known: set[str], code: str, description: str | None
) -> None:
    vocabulary = _vocabulary(*known)
    found = vocabulary.resolve(code, parents, description)
    chain = [code]
    while chain[-1] in parents and len(chain) < 20:
        chain.append(parents[chain[-1]])
    expected = next((c for c in chain if c in known), None)
    assert found.known_code == expected
    if expected is not None:
        assert found.step == (EXACT if expected == code else ANCESTOR)
        assert vocabulary.names[found.token] == expected
    elif normal_words(description or ""):
        assert found.step == BUCKET
        assert 0 <= found.token - len(SPECIAL_TOKENS) < 8
    else:
        assert (found.step, found.token) == (UNKNOWN_STEP, UNKNOWN)


@pytest.mark.parametrize(
    ("code", "ancestors"),
    [
        ("ICD10CM//E11.65", ["ICD10CM//E11.6", "ICD10CM//E11"]),
        ("ICD10CM//E1165", ["ICD10CM//E116", "ICD10CM//E11"]),
        ("ICD10CM//E11", []),
        ("ICD10//S72.001", ["ICD10//S72.00", "ICD10//S72.0", "ICD10//S72"]),
        ("ICD-10-CM//I21.4", ["ICD-10-CM//I21"]),
        ("DIAGNOSIS//ICD//10//E119", ["DIAGNOSIS//ICD//10//E11"]),
        ("DIAGNOSIS//ICD//9//25000", ["DIAGNOSIS//ICD//9//2500", "DIAGNOSIS//ICD//9//250"]),
        ("ICD9CM//250.01", ["ICD9CM//250.0", "ICD9CM//250"]),
        ("ICD9CM//V45.81", ["ICD9CM//V45.8", "ICD9CM//V45"]),
        ("ICD9CM//E878.1", ["ICD9CM//E878"]),
        ("ICD9CM//E8781", ["ICD9CM//E878"]),
        ("ICD9PROC//36.15", ["ICD9PROC//36.1", "ICD9PROC//36"]),
        ("ICD9ProcCN//36.15", ["ICD9ProcCN//36.1", "ICD9ProcCN//36"]),
        ("PROCEDURE//ICD//9//3615", ["PROCEDURE//ICD//9//361", "PROCEDURE//ICD//9//36"]),
        (
            "ICD10PCS//0BH17EZ",
            [f"ICD10PCS//{part}" for part in ("0BH17E", "0BH17", "0BH1", "0BH")],
        ),
        ("ATC//A10BA02", ["ATC//A10BA", "ATC//A10B", "ATC//A10", "ATC//A"]),
        ("ATC//A", []),
        ("LOINC//2160-0", []),
        ("LAB//ICD10", []),
        ("E11.65", []),
        ("ICD10CM//not a code", []),
        ("ICD10CM//E1.165", []),
        ("ATC//A10BA0", []),
        ("ICD10CM//", []),
    ],
)
def test_ancestors_follow_from_the_spelling(code: str, ancestors: list[str]) -> None:
    assert list(structural_ancestors(code)) == ancestors
    assert structural_parent(code) == (ancestors[0] if ancestors else None)


prefixes = st.sampled_from(["ICD10CM//", "ICD10PCS//", "ICD9CM//", "ATC//", "ICD//9//", "X//"])
bodies = st.text("AEBVZ0189.", max_size=8) | st.text(max_size=4)


@settings(deadline=None, max_examples=500)
@given(prefix=prefixes, body=bodies)
def test_each_step_up_is_shorter_and_of_the_same_chain(prefix: str, body: str) -> None:
    chain = structural_ancestors(prefix + body)
    at: str | None = prefix + body
    for ancestor in chain:
        assert at is not None
        at = structural_parent(at)
        assert at == ancestor
        assert ancestor.startswith(prefix)
        assert len(ancestor) < len(prefix + body)
    category = category_of(prefix + body)
    assert category is None or category in chain


@settings(deadline=None, max_examples=500)
@given(prefix=prefixes, body=bodies)
def test_the_other_spelling_of_the_other_spelling_is_the_code(prefix: str, body: str) -> None:
    other = other_spelling(prefix + body)
    if other is not None:
        assert other_spelling(other) == prefix + body


@pytest.mark.parametrize(
    ("known", "code", "parents", "expected"),
    [
        ("ICD10CM//E11.9", "ICD10CM//E119", {}, "ICD10CM//E11.9"),
        ("ICD10CM//E116", "ICD10CM//E11.65", {}, "ICD10CM//E116"),
        ("ICD10CM//E11", "ICD10CM//E11.65", {}, "ICD10CM//E11"),
        ("ATC//A10BA", "RXNORM//860975", {"RXNORM//860975": "ATC//A10BA02"}, "ATC//A10BA"),
        ("ICD10CM//E11", "ICD10CM//E11.9", {"ICD10CM//E11.9": "SNOMED//1"}, "ICD10CM//E11"),
        ("SNOMED//1", "ICD10CM//E11.9", {"ICD10CM//E11.9": "SNOMED//1"}, "SNOMED//1"),
    ],
)
def test_spelling_and_parents_work_together(
    known: str, code: str, parents: dict[str, str], expected: str
) -> None:
    found = _vocabulary(known).resolve(code, parents, "Type 2 diabetes")
    assert (found.known_code, found.step) == (expected, ANCESTOR)


def test_given_parents_come_before_the_spelling() -> None:
    vocabulary = _vocabulary("ICD10CM//E11", "SNOMED//1")
    found = vocabulary.resolve("ICD10CM//E11.9", {"ICD10CM//E11.9": "SNOMED//1"}, None)
    assert found.known_code == "SNOMED//1"


def test_two_hospitals_with_the_same_words_meet() -> None:
    vocabulary = _vocabulary("A", num_hash_buckets=1_000)
    texts = ("Creatinine, serum", "SERUM  creatinine", "cr\u00e9atinine (serum)")
    tokens = {
        vocabulary.resolve(f"LOCAL-{site}//1", {}, text).token for site, text in enumerate(texts)
    }
    assert len(tokens) == 1
    assert vocabulary.resolve("LOCAL-9//1", {}, "creatinine, urine").token not in tokens


@settings(deadline=None)
@given(text=st.text(max_size=30), num_buckets=st.integers(1, 500))
def test_a_bucket_does_not_depend_on_case_or_order(text: str, num_buckets: int) -> None:
    words = normal_words(text)
    bucket = bucket_of(text, num_buckets)
    assert (bucket is None) == (not words)
    assert bucket == bucket_of(" / ".join(reversed(words)).upper().lower(), num_buckets)
    assert bucket is None or 0 <= bucket < num_buckets


def test_without_buckets_a_description_says_nothing() -> None:
    found = _vocabulary("A", num_hash_buckets=0).resolve("B", {}, "serum creatinine")
    assert (found.step, found.token) == (UNKNOWN_STEP, UNKNOWN)
