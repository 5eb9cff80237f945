"""`MapPoints`: held-out examples on a plane, by t-SNE (van der Maaten and Hinton 2008)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import HELD_OUT
from fedehr_shared.seeds import derive_generator, derive_seed
from fedehr_simulations.probe.encodings import Encodings

MAX_POINTS, MIN_POINTS = 2_000, 30
_PERPLEXITY = 30.0
_LARGEST_SEED = 2**32


@dataclass(frozen=True)
class MapPoints:
    """Points in an order that says nothing of who is who; there are no identifiers.

    Attributes:
        positions: `[points, 2]`; distances between far groups mean nothing.
        labels: `[points, tasks]`: 0, 1 or NaN.
        sites: `[points]`, names.
        num_examples: how many the points were drawn from.
    """

    positions: NDArray[np.float64]
    labels: NDArray[np.float64]
    sites: NDArray[np.str_]
    num_examples: int


def map_points(by_site: Mapping[str, Mapping[str, Encodings]]) -> MapPoints | None:
    """Place held-out examples; None where there are fewer than `MIN_POINTS`.

    Held-out ones alone: a fine-tuned encoder knows the labels of the others by heart.

    Args:
        by_site: encodings by site and split.
    """
    held_out = [own[HELD_OUT] for own in by_site.values()]
    vectors = np.concatenate([own.vectors for own in held_out])
    if len(vectors) < MIN_POINTS:
        return None
    labels = np.concatenate([own.labels for own in held_out])
    sites = np.repeat(np.asarray(list(by_site), dtype=np.str_), [len(o.vectors) for o in held_out])
    picked = derive_generator("map", len(vectors)).permutation(len(vectors))[:MAX_POINTS]
    positions = _placed(vectors[picked])
    return MapPoints(positions, labels[picked], sites[picked], len(vectors))


def _placed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    deviation = vectors.std(axis=0)
    scaled = (vectors - vectors.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    seed = derive_seed("map", "t-SNE") % _LARGEST_SEED
    perplexity = min(_PERPLEXITY, (len(scaled) - 1) / 3)
    # Encodings without any spread have no first two directions to begin with.
    begin = "pca" if deviation.any() and scaled.shape[1] > 1 else "random"
    # Its many short steps wait for every thread: on a busy machine two are slower than one.
    with threadpool_limits(limits=1):
        placed = TSNE(perplexity=perplexity, init=begin, random_state=seed).fit_transform(scaled)
    return np.asarray(placed, dtype=np.float64)
