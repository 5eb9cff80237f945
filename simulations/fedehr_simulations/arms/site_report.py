"""`SiteReport`: a site's line of the verdict, as a piece of work."""

from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.outcome.site_summary import summarize_site
from fedehr_simulations.verdict.verdict import SiteSummary


@dataclass(frozen=True)
class SiteReport:
    """Counts one site.

    Attributes:
        study: the study.
        site: the site.
        vocabulary: the text of the vocabulary.
        folder: for logs.
        work: scratch.
    """

    study: StudyConfig
    site: SiteFolder
    vocabulary: str
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The piece in a few words."""
        return f"summary of {self.site.name}"

    def carry_out(self) -> SiteSummary:
        """Count.

        Raises:
            DataError: a file is damaged.
        """
        vocabulary = Vocabulary.from_json(self.vocabulary)
        return summarize_site(self.study, self.site, vocabulary, self.work)
