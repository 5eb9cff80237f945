"""The vocabulary phase: what of an answer is refused, and what is agreed on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_server.phases.vocabulary import VocabularyPhase
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.errors import DataError, TooFewSubjectsError, WireError
from fedehr_shared.vocabulary.histogram import MergedHistogram
from fedehr_shared.vocabulary.noise_spent import NoiseSpent
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.vocabulary_payload import report_to_payload


def _report(site: str = "north", **changes: Any) -> VocabularyReport:
    content: dict[str, Any] = {
        "num_subjects": 40,
        "num_subjects_by_code": {"A": 40, "B": 12},
        "histograms": {"A": MergedHistogram((5, 7, 9), (20, 20))},
        "labels": {"death": (20, 10), "long_stay": (20, 10)},
    }
    return VocabularyReport(site=site, **{**content, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"num_subjects": 4, "num_subjects_by_code": {}, "histograms": {}},
        {"num_subjects_by_code": {"A": 40, "B": 4}},
        {"num_subjects_by_code": {"A": -40}},
        {"num_subjects_by_code": {"A": 41}},
        {"histograms": {"A": MergedHistogram((5, 7, 9), (36, 4))}},
        {"labels": {"death": (26, 4)}},
        {"labels": {"death": (4, 26)}},
        {"num_subjects_by_code": {}, "histograms": {}},
        {"noise": NoiseSpent(1.0, 1e-6, 3.0)},
    ],
)
def test_a_vocabulary_answer_that_breaks_the_cell_rule_is_refused(
    make_study: Callable[..., Any], changes: Any
) -> None:
    phase = VocabularyPhase(make_study())
    with pytest.raises(WireError):
        phase.accept(report_to_payload(_report(**changes)))
    assert phase.accept(report_to_payload(_report())) == "north"
    assert phase.num_subjects == {"north": 40}


@pytest.mark.parametrize("num", [60, 10**12, 2**62])
@pytest.mark.parametrize("unit", [1, 2**62])
def test_a_histogram_of_more_subjects_than_there_are_is_refused(
    make_study: Callable[..., Any], num: int, unit: int
) -> None:
    """Sums of such counts would overflow, or drown every other site's."""
    payload = report_to_payload(_report(unit=1))
    assert payload.values["histograms"]["num_units"]
    payload.values["histograms"]["num_units"] = [num] * len(
        payload.values["histograms"]["num_units"]  # type: ignore[arg-type]
    )
    payload.values["report"] |= {"unit": unit, "num_subjects": 40 * unit}
    with pytest.raises(WireError, match="more subjects"):
        VocabularyPhase(make_study()).accept(payload)


@pytest.mark.parametrize("name", ["", "\x1b[31mred", "a\nb", "x" * 1_000])
def test_a_site_s_name_may_be_printed(make_study: Callable[..., Any], name: str) -> None:
    with pytest.raises(WireError, match="name"):
        VocabularyPhase(make_study()).accept(report_to_payload(_report(name)))


@pytest.mark.parametrize("record", ["report", "codes", "histograms", "labels"])
def test_a_vocabulary_answer_without_a_record_is_refused(
    make_study: Callable[..., Any], record: str
) -> None:
    payload = report_to_payload(_report())
    del payload.values[record]
    with pytest.raises(WireError):
        VocabularyPhase(make_study()).accept(payload)


def test_a_study_that_reuses_asks_for_no_code_and_takes_none(
    make_study: Callable[..., Any], tmp_path: Path
) -> None:
    shelf = VocabularyShelf(tmp_path / "vocabularies")
    kept = Vocabulary(("A", "B"), (None, (3, 9)), 4)
    shelf.keep(kept)
    study = make_study(vocabulary={"reuse": kept.digest})
    phase = VocabularyPhase(study)
    phase.open(shelf)
    with pytest.raises(WireError, match="codes"):
        phase.accept(report_to_payload(_report()))
    phase.accept(report_to_payload(_report(num_subjects_by_code={}, histograms={})))
    assert phase.close() == kept
    assert phase.num_subjects == {"north": 40}


def test_a_reused_vocabulary_must_be_the_one_that_is_named(
    make_study: Callable[..., Any], tmp_path: Path
) -> None:
    shelf = VocabularyShelf(tmp_path / "vocabularies")
    one, other = Vocabulary(("A",), (None,)), Vocabulary(("B",), (None,))
    phase = VocabularyPhase(make_study(vocabulary={"reuse": one.digest}))
    with pytest.raises(DataError, match="no place"):
        phase.open(None)
    with pytest.raises(DataError, match="there is no vocabulary"):
        phase.open(shelf)
    file = shelf.keep(one)
    file.write_text(other.to_json())
    with pytest.raises(DataError, match="not the one that it is named"):
        phase.open(shelf)
    file.write_text('{"format":1,"grid_edges":16384,"codes":[["A",null]]}')
    with pytest.raises(DataError, match="Agree on it anew"):
        phase.open(shelf)
    file.write_bytes(b"\xff")
    with pytest.raises(DataError, match="cannot read"):
        phase.open(shelf)


def test_noise_must_be_what_the_study_asks_for(make_study: Callable[..., Any]) -> None:
    study = make_study(vocabulary={"noise_epsilon": 1.0, "noise_delta": 1e-6})
    phase = VocabularyPhase(study)
    for wrong in (None, NoiseSpent(2.0, 1e-6, 3.0), NoiseSpent(1.0, 1e-5, 3.0)):
        with pytest.raises(WireError, match="noise"):
            phase.accept(report_to_payload(_report(noise=wrong)))
    phase.accept(report_to_payload(_report(noise=NoiseSpent(1.0, 1e-6, 3.0))))
    assert phase.privacy == {"north": {"subject_epsilon": 1.0, "delta": 1e-6, "sigma": 3.0}}


def test_two_sites_of_one_name_are_refused(make_study: Callable[..., Any]) -> None:
    phase = VocabularyPhase(make_study())
    phase.accept(report_to_payload(_report()))
    with pytest.raises(WireError, match="two nodes"):
        phase.accept(report_to_payload(_report()))


def test_codes_of_one_site_alone_make_no_vocabulary(make_study: Callable[..., Any]) -> None:
    phase = VocabularyPhase(make_study())
    phase.accept(report_to_payload(_report()))
    with pytest.raises(TooFewSubjectsError):
        phase.close()
    phase.accept(report_to_payload(_report("south", num_subjects_by_code={"A": 20}, histograms={})))
    assert phase.close().codes == ("A",)
