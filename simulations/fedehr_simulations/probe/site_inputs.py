"""`SiteInputs`: the sites' records as a run's study sees them, opened once for runs that see
them alike."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_shared.errors import MissingTaskError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import SPLITS
from fedehr_simulations.arms.bag_of_tokens import Bag, read_bags
from fedehr_simulations.outcome.finished_run import site_location
from fedehr_simulations.probe.checkpoints import Checkpoint
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.frozen_encoder import FrozenEncoder
from fedehr_simulations.probe.steps import OnStep

SplitsBySite = dict[str, dict[str, Encodings]]
"""By site and split."""


class SiteInputs:
    """Opens records and encodes them.

    Args:
        sites: whose labelled examples.
        work: scratch for token stores; they hold records.
        on_step: told of each longer piece of work.
    """

    def __init__(self, sites: Sequence[SiteFolder], work: Path, on_step: OnStep) -> None:
        self._sites = sites
        self._work = work
        self._on_step = on_step
        self._opened: dict[str, dict[str, SiteData]] = {}

    def data(self, checkpoint: Checkpoint) -> Mapping[str, SiteData]:
        """The records by site.

        Raises:
            DataError: a file is damaged.
        """
        key = _key(checkpoint)
        if key not in self._opened:
            study, vocabulary = checkpoint.study, checkpoint.vocabulary
            opened = {}
            for site in self._sites:
                self._on_step(f"reading the records of site {site.name}")
                location = site_location(study, site, self._work / key)
                opened[site.name] = SiteData(location, study, vocabulary)
            self._opened[key] = opened
        return self._opened[key]

    def sites_with_data(self, checkpoint: Checkpoint) -> Iterator[tuple[SiteFolder, SiteData]]:
        """Each site with its records.

        Raises:
            DataError: a file is damaged.
        """
        data = self.data(checkpoint)
        for site in self._sites:
            yield site, data[site.name]

    def encode(
        self,
        checkpoint: Checkpoint,
        weights: Mapping[str, NDArray[np.float32]],
        poolings: Sequence[str],
        title: str,
    ) -> dict[str, SplitsBySite]:
        """All labelled examples, by way of pooling; labels are the study's tasks'.

        Args:
            checkpoint: its study and vocabulary.
            weights: of a model of that study.
            poolings: ways of pooling.
            title: what is encoded, for who watches.

        Raises:
            WireError: the weights do not fit the study.
            MissingTaskError: a site has no labels for one of the study's tasks.
        """
        model, num_tokens = checkpoint.study.model, checkpoint.vocabulary.num_tokens
        encoder = FrozenEncoder(model, num_tokens, weights)
        found: dict[str, SplitsBySite] = {how: {} for how in poolings}
        for name, data in self.data(checkpoint).items():
            self._on_step(f"encoding site {name} with {title}")
            for how, own in _encode(encoder, data, poolings).items():
                found[how][name] = own
        return found

    def bags(self, checkpoint: Checkpoint) -> list[dict[str, Bag]]:
        """The sites' bags of the same tokens, by split.

        Raises:
            DataError: a file is damaged.
        """
        work = self._work / _key(checkpoint)
        return [
            read_bags(checkpoint.study, site, checkpoint.vocabulary, work) for site in self._sites
        ]


def telling_sites(sites: Sequence[SiteFolder], tasks: Sequence[str]) -> list[SiteFolder]:
    """The sites that have labels for one of the tasks at least.

    Raises:
        MissingTaskError: no site has any for one of the tasks.
    """
    held = {task for site in sites for task in site.tasks}
    for task in tasks:
        if task not in held:
            raise MissingTaskError(
                f"no site has labels for task '{task}' of the run's study; the sites have "
                f"{', '.join(sorted(held)) or 'none'}. Name the federation that the run was made "
                "for, or add the labels (fedehr-client label --help)."
            )
    return [site for site in sites if set(tasks) & set(site.tasks)]


def _encode(
    encoder: FrozenEncoder, data: SiteData, poolings: Sequence[str]
) -> dict[str, dict[str, Encodings]]:
    found: dict[str, dict[str, Encodings]] = {how: {} for how in poolings}
    for split in SPLITS:
        examples = data.examples(split)
        labels = examples.labels.astype(np.float64)
        vectors = encoder.encode_pooled(data.store, examples.windows, poolings)
        for how in poolings:
            found[how][split] = Encodings(vectors[how], labels, examples.subject_ids)
    return found


def _key(checkpoint: Checkpoint) -> str:
    study = checkpoint.study
    parts = [
        checkpoint.vocabulary.digest,
        study.sequence.model_dump_json(),
        study.cohort.model_dump_json(),
        study.vocabulary.model_dump_json(),
        *study.finetuning.tasks,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
