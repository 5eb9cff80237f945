"""The page of a study: for studies of every kind, and whatever texts come from outside."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fedehr_client.contracts.cohort_words import cohort_in_words
from fedehr_client.contracts.leaving import leaving, staying
from fedehr_client.contracts.store import ContractStore
from fedehr_client.contracts.study_facts import StudyFacts
from fedehr_client.contracts.study_text import size_in_words, study_text, time_in_words, wrapped
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.config.cohort import CohortConfig
from fedehr_shared.privacy.not_covered import not_covered

Ask = Callable[..., Any]
LOCAL = {"mechanism": "local", "target_epsilon": 3.0, "target_delta": 1e-4}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "private": {"privacy": LOCAL},
    "withheld": {"privacy": {**LOCAL, "metrics": "withheld"}},
    "private_in_one": {"privacy": {**LOCAL, "phases": ["finetuning"]}},
    "central": {
        "privacy": {"mechanism": "central", "target_epsilon": 3.0, "target_delta": 1e-4},
        "pretraining": {"optimizer_state": "kept"},
        "finetuning": {"optimizer_state": "fresh"},
    },
    "noisy_vocabulary": {"vocabulary": {"noise_epsilon": 2.0, "noise_delta": 1e-6}},
    "reused_vocabulary": {"vocabulary": {"reuse": "a" * 64}},
    "contrastive": {"objective": {"kind": "contrastive"}},
    "pretraining_alone": {"finetuning": {"rounds": 0}},
    "finetuning_alone": {"pretraining": {"rounds": 0}},
    "calibrated": {"evaluation": {"calibration": "platt", "subgroups": []}},
    "cohort": {"cohort": {"min_age_years": 18, "setting": "ICU//1", "start_date": "2020-01-01"}},
}


@pytest.fixture
def facts(node: NodeFolder, asking: Ask) -> Callable[..., StudyFacts]:
    def of(changes: dict[str, Any], **of_contract: Any) -> StudyFacts:
        asked = asking(changes, **of_contract)
        return StudyFacts.of(ContractStore(node).receive(asked.signed), node.config())

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_study_has_its_page(kind: str, facts: Callable[..., StudyFacts]) -> None:
    found = facts(KINDS[kind])
    text = " ".join(" ".join(study_text(found, "DIR")).split())
    assert f"fedehr-client approve DIR {found.known.digest[:12]}" in text
    for phase in found.phases:
        assert size_in_words(phase.max_answer_bytes) in text
        assert all(sent.what in text for sent in phase.sent)
        assert all(what in text for what in phase.kept)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_epsilon_covers_is_all_on_the_page(
    kind: str, make_study: Callable[..., Any]
) -> None:
    """The list that the run's record has, made apart from this one."""
    study = make_study(**KINDS[kind])
    for one in not_covered(study):
        for phase in one.phases:
            told = [d for d in leaving(study, phase) if d.what == one.what]
            if one.what == "why the site did not answer":
                continue
            if told:
                assert told[0].protection_in(study, phase) == one.protection
            else:
                # That list does not know what single settings leave out.
                assert one.places[0].partition(".")[0] in {"moments", "codes", "metrics",
                                                           "histograms"}  # fmt: skip
    for phase in ("pretraining", "finetuning"):
        assert not {d.what for d in leaving(study, phase)} & {d.what for d in staying(study, phase)}


def test_noise_is_told_where_it_is(facts: Callable[..., StudyFacts]) -> None:
    plain, noisy = facts({}), facts({"privacy": LOCAL})
    update = "how the weights changed"
    for found, protection in ((plain, "not_covered"), (noisy, "epsilon")):
        for phase in found.phases[1:3]:
            assert {s.protection for s in phase.sent if s.what == update} == {protection}
    assert "no budget bounds it" in " ".join(study_text(plain, "DIR"))
    assert f"{noisy.contract.subject_epsilon:.4g}" in " ".join(study_text(noisy, "DIR"))


def test_texts_from_outside_move_no_cursor(facts: Callable[..., StudyFacts]) -> None:
    found = facts({}, coordinator="evil\x1b[2J\x1b[1;1Happroved\u202e\nok")
    page = list(wrapped(study_text(found, "DIR"), 80))
    assert any("evil?[2J?[1;1Happroved??ok" in line for line in page)
    assert all(line.isprintable() for line in page)


def test_many_sites_are_counted(facts: Callable[..., StudyFacts]) -> None:
    sites = tuple(sorted({"north"} | {f"site{number:03}" for number in range(150)}))
    text = " ".join(study_text(facts({}, sites=sites), "DIR"))
    assert "151 site(s)" in text
    assert "and 131 more" in text


def test_lines_are_broken_at_words_below_their_indent() -> None:
    lines = ["    - " + "word " * 30, "    fedehr-client approve " + "x" * 90, "  a    b" * 20]
    broken = list(wrapped(lines, 60))
    assert broken[-2:] == lines[-2:]
    assert all(line.startswith("      ") for line in broken[1:-2])
    assert " ".join(broken[:-2]).split() == lines[0].split()
    assert all(len(line) <= 60 for line in broken[:-2])


@pytest.mark.parametrize(
    ("cohort", "words"),
    [
        ({}, "everyone"),
        ({"max_age_years": 17}, "aged 0 to 17"),
        ({"min_age_years": 65, "end_date": "2024-12-31"},
         "aged 65 and older, predicted from any day to 2024-12-31"),
        ({"setting": "ICU//1", "min_history_hours": 24},
         "in a visit with ICU//1, known for 24 hours before"),
    ],
)  # fmt: skip
def test_cohorts_in_words(cohort: dict[str, Any], words: str) -> None:
    assert cohort_in_words(CohortConfig.model_validate(cohort)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "0.5 seconds"), (119, "119 seconds"), (300, "5 minutes"), (3_600, "60 minutes"),
     (5_400, "90 minutes"), (7_200, "2 hours"), (604_800, "7 days")],
)  # fmt: skip
def test_times_have_the_unit_that_a_person_would_use(seconds: float, words: str) -> None:
    assert time_in_words(seconds) == words
