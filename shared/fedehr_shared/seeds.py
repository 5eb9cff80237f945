"""Seeds derived from (study, phase, round, site): repeatable, and independent of order.

These seeds are known to every party, so they may steer batches, masks and first weights,
and nothing that protects anyone: privacy noise has a source of its own at the site.
"""

import hashlib

import numpy as np


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed from the named parts (SHA-256 over their length-prefixed text)."""
    digest = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        digest.update(len(text).to_bytes(4, "big") + text)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def derive_generator(*parts: str | int) -> np.random.Generator:
    """A NumPy PCG64 generator seeded by `derive_seed`."""
    return np.random.default_rng(derive_seed(*parts))
