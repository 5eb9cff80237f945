"""Label counts at the coordinator: what is refused, what heads start from, what ends a study."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from fedehr_server.phases.vocabulary import VocabularyPhase
from fedehr_shared.errors import MissingTaskError, WireError
from fedehr_shared.vocabulary.histogram import MergedHistogram
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.wire.vocabulary_payload import report_to_payload


def _report(site: str, labels: dict[str, tuple[int, ...]]) -> VocabularyReport:
    return VocabularyReport(
        site=site,
        num_subjects=40,
        num_subjects_by_code={"A": 40, "B": 12},
        histograms={"A": MergedHistogram((5, 7, 9), (20, 20))},
        labels=labels,
    )


@pytest.mark.parametrize(
    "labels",
    [
        {"death": (31, -1)},
        {"death": (0, 0)},
        {"death": (20, 10, 10)},
        {"death": (20, 4)},
        {"sepsis": (20, 10)},
    ],
)
def test_counts_that_break_the_cell_rule_or_were_not_asked_for_are_refused(
    make_study: Callable[..., Any], labels: dict[str, tuple[int, ...]]
) -> None:
    phase = VocabularyPhase(make_study())
    with pytest.raises(WireError):
        phase.accept(report_to_payload(_report("north", labels)))
    assert phase.num_subjects == {}


def test_log_odds_are_over_the_sites_that_tell(make_study: Callable[..., Any]) -> None:
    phase = VocabularyPhase(make_study())
    assert phase.first_biases == ((0.0,), (0.0,))
    phase.accept(report_to_payload(_report("north", {"death": (20, 10)})))
    phase.accept(report_to_payload(_report("south", {"death": (40, 20)})))
    phase.accept(report_to_payload(_report("east", {})))
    # Withheld positives would make the outcome look rarer than it is.
    phase.accept(report_to_payload(_report("west", {"death": (500, 0)})))
    assert phase.first_biases == ((pytest.approx(math.log(30 / 60)),), (0.0,))


def test_a_task_that_no_site_may_tell_of_ends_the_study_by_name(
    make_study: Callable[..., Any],
) -> None:
    phase = VocabularyPhase(make_study())
    for site in ("north", "south"):
        phase.accept(report_to_payload(_report(site, {"death": (20, 10)})))
    with pytest.raises(MissingTaskError, match="'long_stay'") as told:
        phase.close()
    assert told.value.exit_code == 4
