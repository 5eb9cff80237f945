"""The real client and the real server in one process: the same studies without an engine.

Baselines that have one site (pooled, local) run this way, and so do quick tests. Sites
answer one after the other, in the order in which they are asked.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from fedehr_client.answers.reply import reply_to
from fedehr_client.locator import SiteLocation
from fedehr_server.model_shelf import ModelShelf
from fedehr_server.running import run_study
from fedehr_server.transport import Transport
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.wire.payload import Payload
from fedehr_simulations.outcome.sites_parts import keep_local_parts
from fedehr_simulations.sites_compute import sites_compute


class InProcessTransport:
    """Answers each request at once, by calling what the ClientApp calls."""

    def __init__(self, locations: Sequence[SiteLocation]) -> None:
        self._locations = locations
        self._waiting: list[tuple[int, Payload]] = []

    def nodes(self) -> frozenset[int]:
        """One node a site, numbered from 0."""
        return frozenset(range(len(self._locations)))

    def push(self, node: int, payload: Payload) -> None:
        """Keep the request until the next pull; an earlier one to the node is forgotten."""
        self._waiting = [(known, kept) for known, kept in self._waiting if known != node]
        self._waiting.append((node, payload))

    def pull(self) -> list[tuple[int, Payload | None]]:
        """Do the next piece of work."""
        if not self._waiting:
            return []
        node, request = self._waiting.pop(0)
        return [(node, reply_to(lambda: request, lambda: self._locations[node]))]

    def wait(self) -> None:
        """Nothing to wait for: every answer is there as soon as it is asked for."""


def run_in_process(
    study: StudyConfig,
    sites: Sequence[SiteFolder],
    folder: Path,
    work: Path,
    *,
    num_threads: int | None = None,
    precision: Literal["auto", "fp32"] = "auto",
    shelf: VocabularyShelf | None = None,
    models: ModelShelf | None = None,
    around: Callable[[Transport], Transport] | None = None,
) -> dict[str, Any]:
    """Run a study over `sites` and write its run folder.

    Args:
        study: the study.
        sites: the sites that take part.
        folder: the run's folder, new.
        work: scratch for token stores.
        num_threads: torch threads, None for torch's own choice.
        precision: `fp32` for figures that are the same on any processor.
        shelf: where a vocabulary that the study re-uses is taken from, and each is kept.
        models: where a pre-trained model that the study re-uses is taken from, and each is kept.
        around: puts something between coordinator and sites.

    Returns:
        The content of `result.json`.

    Raises:
        FedehrError: the study could not go on.
    """
    compute = sites_compute(num_threads)
    if precision == "fp32":
        compute = compute.model_copy(update={"precision": precision})
    locations = [
        SiteLocation(
            name=site.name,
            records=site,
            work=work / site.name,
            min_cell=study.vocabulary.min_cell,
            compute=compute,
        )
        for site in sites
    ]
    transport: Transport = InProcessTransport(locations)
    if around is not None:
        transport = around(transport)
    result = run_study(study, transport, folder, len(sites), shelf=shelf, models=models)
    keep_local_parts([location.work for location in locations], folder, study.digest)
    return result
