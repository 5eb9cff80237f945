"""`count_site`: a site's whole answer in the vocabulary phase, with or without noise."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedehr_client.vocabulary.counts import CodeCounts
from fedehr_client.vocabulary.noise import NoiseBounds, naming_threshold, spend
from fedehr_client.vocabulary.noisy_counts import BoundedCounts, name_codes, noisy_histograms
from fedehr_client.vocabulary.noisy_histogram import NUM_LEVELS
from fedehr_client.vocabulary.roll_up import roll_up
from fedehr_client.vocabulary.subjects import SubjectCodes, training_subjects
from fedehr_client.vocabulary.tree import CodeTree
from fedehr_shared.cells import told_count
from fedehr_shared.config.vocabulary import VocabularyConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.meds.reader import Events
from fedehr_shared.privacy.system_noise import NoiseSource
from fedehr_shared.vocabulary.ancestors import ancestor_chain
from fedehr_shared.vocabulary.histogram import MergedHistogram, merge_bins
from fedehr_shared.vocabulary.noise_spent import NoiseSpent
from fedehr_shared.vocabulary.report import VocabularyReport


@dataclass(frozen=True)
class SiteRecords:
    """What is counted.

    Attributes:
        site: the site's name.
        codes: the rows that events' code indices name.
        parents: the site's own parents of codes.
        splits: by subject.
        stream: gives all events, whole subjects a chunk, from the beginning at each call.
    """

    site: str
    codes: Sequence[str]
    parents: Mapping[str, str]
    splits: Mapping[int, str]
    stream: Callable[[], Iterable[Events]]

    def chunks(self) -> Iterator[SubjectCodes]:
        """The training subjects' codes, from the beginning."""
        training: NDArray[np.int64] = training_subjects(self.splits)
        return (SubjectCodes.of(events, training) for events in self.stream())


def count_site(records: SiteRecords, min_cell: int) -> VocabularyReport:
    """Count training subjects a code, roll rare codes up to their parents, merge histograms.

    Raises:
        TooFewSubjectsError: fewer than `min_cell` training subjects, or no code frequent
            enough to be told even after rolling up.
    """
    tree = CodeTree.of(records.codes, records.parents)
    counts = CodeCounts(len(records.codes), min_cell)
    for chunk in records.chunks():
        counts.add(chunk)
    require_subjects(records.site, counts.num_subjects, min_cell)
    by_row = roll_up(tree, counts, min_cell).with_joined(records.chunks())
    told = {tree.names[row]: told_count(num, min_cell) for row, num in by_row.items()}
    _require_codes(records.site, told, min_cell)
    return VocabularyReport(
        site=records.site,
        num_subjects=told_count(counts.num_subjects, min_cell),
        num_subjects_by_code=dict(sorted(told.items())),
        parents=_links(told, records.parents),
        histograms=_histograms(tree, counts, by_row, min_cell),
        unit=min_cell,
    )


def count_site_with_noise(
    records: SiteRecords,
    config: VocabularyConfig,
    spent: NoiseSpent,
    noise: NoiseSource,
) -> VocabularyReport:
    """The same under differential privacy: `spent` must be `spend_of` this release.

    Raises:
        TooFewSubjectsError: fewer than `min_cell` training subjects, or the noise leaves no
            code that may be named.
    """
    tree = CodeTree.of(records.codes, records.parents)
    counts = BoundedCounts(tree, config.max_codes_per_subject, noise).add_all(records.chunks())
    require_subjects(records.site, counts.num_subjects, config.min_cell)
    num_subjects = told_count(counts.num_subjects, config.min_cell)
    threshold = naming_threshold(spent, config.max_codes_per_subject, config.min_cell)
    bounds = NoiseBounds(spent.sigma, config.min_cell, noise)
    by_row = name_codes(counts, threshold, bounds)
    told = {tree.names[row]: min(num, num_subjects) for row, num in by_row.items()}
    _require_codes(records.site, told, config.min_cell)
    found = noisy_histograms(tree, counts, by_row, bounds)
    return VocabularyReport(
        site=records.site,
        num_subjects=num_subjects,
        num_subjects_by_code=dict(sorted(told.items())),
        parents=_links(told, records.parents),
        histograms=dict(sorted(found.items())),
        noise=spent,
    )


def spend_of(config: VocabularyConfig, num_tasks: int) -> NoiseSpent | None:
    """The noise that the study asks for; None where it asks for none.

    One subject moves the counts of `max_codes_per_subject` codes by one, `NUM_LEVELS` nodes of
    each one's histogram, and one part of each task's labels: the root of their number, all released
    together, is the L2 sensitivity. With `reuse` the outcomes are all there is.
    """
    if not config.noise_epsilon:
        return None
    cells = 0 if config.reuse else config.max_codes_per_subject * (1 + NUM_LEVELS)
    return spend(config.noise_epsilon, config.noise_delta, math.sqrt(cells + num_tasks))


def noisy_labels(
    outcomes: Mapping[str, tuple[int, ...]], bounds: NoiseBounds
) -> dict[str, tuple[int, ...]]:
    """By task, labelled subjects in each part, with noise; small parts are told as 0, and a task
    of such parts alone is left out."""
    labels: dict[str, tuple[int, ...]] = {}
    for task, exact in outcomes.items():
        noisy = np.rint(np.asarray(exact) + bounds.draw(len(exact))).astype(int)
        told = np.where(noisy >= bounds.min_cell, noisy, 0)
        if told.any():
            labels[task] = tuple(told.tolist())
    return labels


def _histograms(
    tree: CodeTree, counts: CodeCounts, told: Mapping[int, int], min_cell: int
) -> dict[str, MergedHistogram]:
    found: dict[str, MergedHistogram] = {}
    for row, (places, sizes) in counts.first_values.by_code().items():
        merged = merge_bins(places, sizes, min_cell) if row in told else None
        if merged is not None:
            found[tree.names[row]] = merged
    return dict(sorted(found.items()))


def _links(codes: Iterable[str], parents: Mapping[str, str]) -> dict[str, str]:
    """Child to parent from the codes upwards, as far as the site gives it."""
    links = {
        child: parent
        for code in codes
        for child, parent in pairwise(ancestor_chain(code, parents))
        if child in parents
    }
    return dict(sorted(links.items()))


def require_subjects(site: str, num_subjects: int, min_cell: int) -> None:
    """Raise TooFewSubjectsError when a site has fewer training subjects than `min_cell`."""
    if num_subjects < min_cell:
        raise TooFewSubjectsError(
            f"site '{site}' has fewer than min_cell = {min_cell} training subjects. "
            "It cannot take part; add subjects."
        )


def _require_codes(site: str, told: Mapping[str, int], min_cell: int) -> None:
    if not told:
        raise TooFewSubjectsError(
            f"no code of site '{site}' may be told: none, not even a parent, is frequent enough "
            f"for min_cell = {min_cell} and the study's noise. It cannot take part; add subjects "
            "or parent codes."
        )
