"""`privacy_statement`: what a study's noise promises, and what it does not."""

from collections.abc import Iterable, Mapping
from typing import Any

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.in_words import privacy_in_words
from fedehr_shared.privacy.not_covered import not_covered
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_simulations.verdict.privacy import (
    NotCoveredNumber,
    PrivacyStatement,
    SpentPrivacy,
    WithVocabulary,
)


def privacy_statement(
    study: StudyConfig, sites: Iterable[str] = (), record: Mapping[str, Any] | None = None
) -> PrivacyStatement | None:
    """The statement; None where the study adds no noise to training.

    Args:
        study: the study.
        sites: those of the federation.
        record: `training_privacy` of the run's `result.json`; None: there was no run.

    Raises:
        ConfigError: no noise keeps the study within its target.
    """
    if study.privacy.mechanism == "none":
        return None
    cost = StudyCost.of(study)
    return PrivacyStatement(
        unit="subject" if study.privacy.mechanism == "local" else "site",
        neighbors="add_or_remove_one",
        epsilon=cost.subject_epsilon,
        delta=cost.delta,
        phases=tuple(cost.rounds),
        words=privacy_in_words(study),
        not_covered=tuple(NotCoveredNumber(**one.to_dict()) for one in not_covered(study)),
        spent=_spent(sites, record or {}),
    )


def spent_by_site(
    statement: PrivacyStatement | None, sites: Iterable[str]
) -> dict[str, float | None]:
    """By site, the epsilon that each of its subjects has spent, by RDP; None without noise of the
    site's own, or without an answer that counted."""
    spent = {} if statement is None or statement.unit == "site" else statement.spent
    return {site: spent[site].epsilon if site in spent else None for site in sites}


def _spent(sites: Iterable[str], record: Mapping[str, Any]) -> dict[str, SpentPrivacy]:
    """Noise at the coordinator covers all sites alike; noise at a site, its own subjects."""
    if record.get("unit") == "site":
        return dict.fromkeys(sites, _spending(record, "site_epsilon", int(record["num_rounds"])))
    return {
        site: _spending(own, "subject_epsilon", sum(own["num_rounds"].values()))
        for site, own in record.get("sites", {}).items()
    }


def _spending(own: Mapping[str, Any], name: str, num_rounds: int) -> SpentPrivacy:
    both = own.get("with_vocabulary")
    return SpentPrivacy(
        **_figures(own, name),
        num_rounds=num_rounds,
        with_vocabulary=both and WithVocabulary(**_figures(both, name), delta=both["delta"]),
    )


def _figures(found: Mapping[str, Any], name: str) -> dict[str, float]:
    return {
        "epsilon": found[name],
        "optimistic": found[f"{name}_optimistic"],
        "pessimistic": found[f"{name}_pessimistic"],
    }
