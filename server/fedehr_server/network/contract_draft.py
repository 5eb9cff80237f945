"""`draft_contract`: the contract of a study, as the coordinator would sign it now."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from fedehr_server.bundle import bundle_sha256
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_server.network.enough_sites import require_enough_sites
from fedehr_server.network.sites import SiteRegister
from fedehr_server.vocabulary_shelf import FOLDER_NAME, VocabularyShelf
from fedehr_shared import __version__
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.answer_bytes import answer_bytes, run_bytes
from fedehr_shared.contract.study_contract import StudyContract, utc_text
from fedehr_shared.contract.study_terms import StudyTerms
from fedehr_shared.errors import ConfigError

DAYS = 30
"""That a contract is good for, where nothing else is said."""


@dataclass(frozen=True)
class ContractWishes:
    """What the coordinator may choose beside the study.

    Attributes:
        sites: names; None: all that are registered.
        days: until the deadline.
        num_runs: how often the study may be run.
        max_codes: that a site may name in its vocabulary answer.
        max_tokens: that the study's vocabulary may have.
    """

    sites: tuple[str, ...] | None = None
    days: float = DAYS
    num_runs: int = 1
    max_codes: int = 20_000
    max_tokens: int = 50_000


def draft_contract(
    folder: CoordinatorFolder,
    study: StudyConfig,
    wishes: ContractWishes | None = None,
    bundle: Path | None = None,
) -> StudyContract:
    """Put a contract together; nothing is signed or kept.

    Args:
        folder: the coordinator's.
        study: the study.
        wishes: what was chosen beside it.
        bundle: another bundle's `pyproject.toml`; the installed one by default.

    Raises:
        ConfigError: sites are unknown or too few, or no noise keeps the study within its target.
        DataError: the vocabulary that the study re-uses is not there.
    """
    asked = wishes or ContractWishes()
    # First what is known at once: shapes need PyTorch, and the bundle the engine.
    sites = _sites(folder, study, asked.sites)
    num_codes, num_tokens = _vocabulary_size(folder, study, asked)
    from fedehr_server.phases.answer_shapes import answer_shapes

    tensors = answer_shapes(study)
    bounds = answer_bytes(study, tensors, num_tokens=num_tokens, num_codes=num_codes)
    now = datetime.now(UTC)
    return StudyContract(
        **dict(StudyTerms.of(study)),
        study=study,
        fedehr_version=__version__,
        flwr_version=version("flwr"),
        bundle_sha256=bundle_sha256(bundle),
        coordinator=folder.config().network.host,
        sites=sites,
        num_runs=asked.num_runs,
        created=utc_text(now),
        deadline=utc_text(now + timedelta(days=asked.days)),
        tensors=tensors,
        max_codes=num_codes,
        max_tokens=num_tokens,
        max_answer_bytes=bounds,
        max_run_bytes=run_bytes(study, bounds),
    )


def _vocabulary_size(
    folder: CoordinatorFolder, study: StudyConfig, wishes: ContractWishes
) -> tuple[int, int]:
    """The most codes of an answer, and the most tokens: exact where the study brings them."""
    if not study.vocabulary.reuse:
        return wishes.max_codes, wishes.max_tokens
    vocabulary = VocabularyShelf(folder.path / FOLDER_NAME).take(study.vocabulary.reuse)
    return 0, vocabulary.num_tokens


def _sites(
    folder: CoordinatorFolder, study: StudyConfig, names: tuple[str, ...] | None
) -> tuple[str, ...]:
    registered = SiteRegister(folder).names()
    unknown = sorted(set(names or ()) - set(registered))
    if unknown:
        raise ConfigError(
            f"there is no site {unknown[0]}; there are {registered or 'none'}. Register it with "
            "`fedehr-server site add`."
        )
    chosen = registered if names is None else sorted(set(names))
    require_enough_sites(study, len(chosen), "its contract would name")
    return tuple(chosen)
