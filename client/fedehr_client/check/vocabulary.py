"""A vocabulary to check against: the study's file, or one of the site's own codes."""

from pathlib import Path

from fedehr_client.vocabulary.answer import read_site
from fedehr_client.vocabulary.site_report import count_site
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, WireError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.vocabulary.build import build_vocabulary
from fedehr_shared.vocabulary.vocabulary import Vocabulary


def read_vocabulary(file: Path) -> Vocabulary:
    """Read a study's `vocabulary.json`.

    Raises:
        DataError: the file is missing, damaged or of another format.
    """
    try:
        return Vocabulary.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}. Ask the coordinator for the file.") from error
    except WireError as error:
        raise DataError(f"{file}: {error}") from error


def own_vocabulary(site: SiteFolder, study: StudyConfig, min_cell: int) -> Vocabulary:
    """What the federation's vocabulary would be if this site were the only one.

    Raises:
        TooFewSubjectsError: no code is frequent enough.
    """
    report = count_site(read_site(site, site.name), min_cell)
    return build_vocabulary([report], study.vocabulary.model_copy(update={"min_sites": 1}))
