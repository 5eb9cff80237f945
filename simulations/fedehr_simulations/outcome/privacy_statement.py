"""`privacy_statement`: what a study's noise promises, and what it does not."""

from collections.abc import Iterable

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.in_words import privacy_in_words
from fedehr_shared.privacy.not_covered import not_covered
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_simulations.verdict.privacy import NotCoveredNumber, PrivacyStatement


def privacy_statement(study: StudyConfig) -> PrivacyStatement | None:
    """The statement; None where the study adds no noise to training.

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
    )


def spent_by_site(study: StudyConfig, sites: Iterable[str]) -> dict[str, float | None]:
    """By site, the epsilon of each of its subjects; None without noise of the site's own."""
    if study.privacy.mechanism != "local":
        return dict.fromkeys(sites)
    return dict.fromkeys(sites, StudyCost.of(study).subject_epsilon)
