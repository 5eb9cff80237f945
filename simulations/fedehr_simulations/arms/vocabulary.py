"""The vocabulary that the logistic arm and the summary of the sites use."""

from collections.abc import Mapping
from pathlib import Path

from fedehr_client.vocabulary.answer import read_site
from fedehr_client.vocabulary.site_report import count_site
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.vocabulary.build import build_vocabulary
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_simulations.arms.federated import FEDERATED
from fedehr_simulations.arms.pooled import POOLED
from fedehr_simulations.arms.scratch import SCRATCH
from fedehr_simulations.outcome.finished_run import read_vocabulary

_PREFERRED = (FEDERATED, SCRATCH, POOLED)


def agreed_vocabulary(study: StudyConfig, federation: Path, runs: Mapping[str, Path]) -> str:
    """The text of the federation's vocabulary, of the pooled one, or of one agreed here.

    Args:
        study: for the rules.
        federation: the federation folder.
        runs: by arm, a finished run's folder.

    Raises:
        TooFewSubjectsError: no code is frequent enough at enough sites.
    """
    for arm in _PREFERRED:
        if arm in runs:
            return read_vocabulary(runs[arm]).to_json()
    reports = [_report(study, site) for site in FederationFolder(federation).sites]
    told = [report for report in reports if report is not None]
    return build_vocabulary(told, study.vocabulary).to_json()


def _report(study: StudyConfig, site: SiteFolder) -> VocabularyReport | None:
    """What the site would report; None where it is too small to, as in a federation."""
    try:
        return count_site(read_site(site, site.name), study.vocabulary.min_cell)
    except TooFewSubjectsError:
        return None
