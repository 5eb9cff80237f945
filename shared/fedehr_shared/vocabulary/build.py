"""From the sites' reports to one vocabulary; the order of the reports changes nothing."""

from collections.abc import Iterable, Mapping, Sequence

from fedehr_shared.config.vocabulary import VocabularyConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.vocabulary.histogram import quantile_cuts
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.vocabulary.structure import category_of
from fedehr_shared.vocabulary.vocabulary import Vocabulary


def build_vocabulary(reports: Sequence[VocabularyReport], config: VocabularyConfig) -> Vocabulary:
    """Keep each code that `min_sites` sites report, themselves or by a code below it.

    Codes are ordered by name, so that the same reports in any order give the same digest.

    Raises:
        TooFewSubjectsError: no code is frequent enough at enough sites.
    """
    reports = sorted(reports, key=lambda report: report.site)
    sites_by_code: dict[str, int] = {}
    for report in reports:
        for code in _with_ancestors(report.num_subjects_by_code, report.parents):
            sites_by_code[code] = sites_by_code.get(code, 0) + 1
    kept = sorted(code for code, sites in sites_by_code.items() if sites >= config.min_sites)
    if not kept:
        raise TooFewSubjectsError(
            f"no code occurs in min_cell subjects at {config.min_sites} site(s), so there is no "
            "vocabulary. Lower [vocabulary] min_sites, or add sites or subjects."
        )
    cuts = tuple(_cuts(code, reports, config) for code in kept)
    return Vocabulary(tuple(kept), cuts, config.num_hash_buckets)


def _with_ancestors(codes: Iterable[str], parents: Mapping[str, str]) -> set[str]:
    """The codes, those above them by `parents`, and the categories that all of these spell.

    Of what a spelling gives only the category becomes a token by itself: each level between
    would be one more that hardly an event falls back on.
    """
    closed: set[str] = set()
    for code in codes:
        at: str | None = code
        while at is not None and at not in closed:
            closed.add(at)
            at = parents.get(at)
    return closed | {category for code in closed if (category := category_of(code)) is not None}


def _cuts(
    code: str, reports: Sequence[VocabularyReport], config: VocabularyConfig
) -> tuple[int, ...] | None:
    histograms = [r.histograms[code] for r in reports if code in r.histograms]
    return quantile_cuts(histograms, config.num_value_bins) if histograms else None
