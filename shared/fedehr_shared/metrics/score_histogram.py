"""Score histograms that may leave a site, and the AUROC that their sum allows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUM_SCORE_BINS = 1_000
ScoreBins = tuple[list[int], list[int], list[int]]


def merge_scores(
    labels: NDArray[np.float64], scores: NDArray[np.float64], min_cell: int
) -> ScoreBins | None:
    """Merge neighbouring score bins until each class counts zero or at least `min_cell`.

    Args:
        labels: `[n]`, 0 or 1.
        scores: `[n]`, probabilities.
        min_cell: the least count of a class in a bin.

    Returns:
        Upper edges (in 1/1000), negatives and positives a bin; None when either class has
        fewer than `min_cell` subjects in all.
    """
    places = np.clip((scores * NUM_SCORE_BINS).astype(int), 0, NUM_SCORE_BINS - 1)
    counts = np.stack(
        [np.bincount(places[labels == c], minlength=NUM_SCORE_BINS) for c in (0.0, 1.0)]
    )
    if counts.sum(axis=1).min() < min_cell:
        return None
    edges: list[int] = []
    cells: list[NDArray[np.int64]] = []
    held = np.zeros(2, dtype=np.int64)
    for place in range(NUM_SCORE_BINS):
        held = held + counts[:, place]
        if held.any() and _may_leave(held, min_cell):
            edges.append(place + 1)
            cells.append(held)
            held = np.zeros(2, dtype=np.int64)
    while held.any() and not _may_leave(held, min_cell):
        edges.pop()
        held = held + cells.pop()
    if held.any():
        edges.append(NUM_SCORE_BINS)
        cells.append(held)
    edges[-1] = NUM_SCORE_BINS
    return edges, [int(cell[0]) for cell in cells], [int(cell[1]) for cell in cells]


def pooled_auroc(bins_by_site: Sequence[ScoreBins]) -> tuple[float, float, float] | None:
    """AUROC of the summed histograms: middle, least and greatest that the bins allow.

    Two subjects whose bins overlap may be ordered either way; the middle counts them half.

    Returns:
        None when there is no histogram.
    """
    if not bins_by_site:
        return None
    spans: list[tuple[int, int, int, int]] = []
    for edges, negatives, positives in bins_by_site:
        lows = [0, *edges[:-1]]
        spans += list(zip(lows, edges, negatives, positives, strict=True))
    low, high, negative, positive = (np.asarray(column) for column in zip(*spans, strict=True))
    pairs = positive[:, None] * negative[None, :]
    surely = float((pairs * (low[:, None] >= high[None, :])).sum())
    never = float((pairs * (high[:, None] <= low[None, :])).sum())
    total = float(pairs.sum())
    least, greatest = surely / total, (total - never) / total
    return (least + greatest) / 2, least, greatest


def _may_leave(cell: NDArray[np.int64], min_cell: int) -> bool:
    return bool(np.all((cell == 0) | (cell >= min_cell)))
