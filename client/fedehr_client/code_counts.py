"""The site's part of the vocabulary phase: counts that each rest on `min_cell` subjects."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.cells import told_count
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.meds.reader import Events
from fedehr_shared.meds.schema import BIRTH_CODE, TRAIN
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.histogram import MergedHistogram, merge_bins
from fedehr_shared.vocabulary.report import VocabularyReport


def count_codes(
    site: str,
    events: Events,
    parents: Mapping[str, str],
    splits: Mapping[int, str],
    min_cell: int,
) -> VocabularyReport:
    """Count training subjects a code, roll rare codes up to their parents, merge histograms.

    Raises:
        TooFewSubjectsError: fewer than `min_cell` training subjects, or no code frequent
            enough to be told even after rolling up.
    """
    in_train = _rows_of_split(events, splits, TRAIN)
    subjects = events.subject_ids[in_train]
    num_subjects = int(np.unique(subjects).size)
    if num_subjects < min_cell:
        raise TooFewSubjectsError(
            f"site '{site}' has fewer than min_cell = {min_cell} training subjects. "
            "It cannot take part; add subjects."
        )
    rolled_up = roll_up(_subjects_by_code(events, in_train), parents, min_cell)
    counts = {code: told_count(num, min_cell) for code, num in rolled_up.items()}
    if not counts:
        raise TooFewSubjectsError(
            f"no code of site '{site}' occurs in min_cell = {min_cell} training subjects, even "
            "with its parents. It cannot take part; add subjects or parent codes."
        )
    return VocabularyReport(
        site=site,
        num_subjects=told_count(num_subjects, min_cell),
        num_subjects_by_code=counts,
        parents=_chains(counts, parents),
        histograms=_histograms(events, in_train, counts, min_cell),
    )


def roll_up(
    subjects_by_code: Mapping[str, NDArray[np.int64]], parents: Mapping[str, str], min_cell: int
) -> dict[str, int]:
    """Counts of distinct subjects, each at least `min_cell`, over groups of whole codes.

    Deepest codes first: a code with enough subjects is counted; a rarer one hands its
    subjects to its parent, where they join the parent's own and its other rare children's.
    Every code's subjects are counted in one place at most, so that subtracting one count
    from another tells nothing about the rare ones.
    """
    waiting: dict[int, dict[str, list[NDArray[np.int64]]]] = {}
    for code, subjects in subjects_by_code.items():
        waiting.setdefault(len(_chain(code, parents)), {})[code] = [subjects]
    counts: dict[str, int] = {}
    for depth in range(max(waiting, default=0), 0, -1):
        for code, groups in sorted(waiting.pop(depth, {}).items()):
            group = np.unique(np.concatenate(groups))
            if group.size >= min_cell:
                counts[code] = int(group.size)
            elif code in parents:
                above = waiting.setdefault(depth - 1, {})
                above.setdefault(parents[code], []).append(group)
    return dict(sorted(counts.items()))


def _rows_of_split(events: Events, splits: Mapping[int, str], split: str) -> NDArray[np.bool_]:
    wanted = np.asarray([s for s, name in splits.items() if name == split], dtype=np.int64)
    return np.isin(events.subject_ids, wanted)


def _subjects_by_code(events: Events, rows: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
    keys, num_subjects, subject_ids = _pair_keys(events, rows)
    pairs = np.unique(keys)
    codes, starts = np.unique(pairs // num_subjects, return_index=True)
    groups = np.split(subject_ids[pairs % num_subjects], starts[1:])
    names = (events.codes[code] for code in codes.tolist())
    return {n: g for n, g in zip(names, groups, strict=True) if n != BIRTH_CODE}


def _pair_keys(
    events: Events, rows: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """One integer a row for its (code, subject), with what is needed to read it back."""
    subject_ids, ranks = np.unique(events.subject_ids[rows], return_inverse=True)
    num_subjects = max(1, int(subject_ids.size))
    keys = events.code_indices[rows].astype(np.int64) * num_subjects + ranks
    return keys, num_subjects, subject_ids


def _histograms(
    events: Events, rows: NDArray[np.bool_], counts: Mapping[str, int], min_cell: int
) -> dict[str, MergedHistogram]:
    """Merged histograms of each subject's first value, for the codes that are reported."""
    valued = rows & ~np.isnan(events.values)
    if not valued.any():
        return {}
    keys, num_subjects, _ = _pair_keys(events, valued)
    # Rows are sorted by time within a subject, so the first row of a pair is the first value.
    pairs, first = np.unique(keys, return_index=True)
    values = events.values[valued][first]
    codes, starts = np.unique(pairs // num_subjects, return_index=True)
    histograms: dict[str, MergedHistogram] = {}
    for code, group in zip(codes.tolist(), np.split(values, starts[1:]), strict=True):
        name = events.codes[code]
        merged = merge_bins(bin_of(group), min_cell) if name in counts else None
        if merged is not None:
            histograms[name] = merged
    return histograms


def _chain(code: str, parents: Mapping[str, str]) -> list[str]:
    chain: list[str] = []
    at: str | None = code
    while at is not None and at not in chain:
        chain.append(at)
        at = parents.get(at)
    return chain


def _chains(codes: Mapping[str, int], parents: Mapping[str, str]) -> dict[str, str]:
    links: dict[str, str] = {}
    for code in codes:
        chain = _chain(code, parents)
        links.update(pairwise(chain))
    return dict(sorted(links.items()))
