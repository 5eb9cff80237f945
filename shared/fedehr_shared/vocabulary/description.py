"""Hashed buckets of descriptions: local codes of two hospitals with the same text meet in one.

The hash has no key: hospitals that never spoke must find the same bucket. It hides nothing and
need not, since buckets never leave a site; what leaves is a share of events.
"""

import hashlib
import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")


def normal_words(description: str) -> tuple[str, ...]:
    """The description's different words, sorted: no case, punctuation, accents or order.

    Letters are decomposed (Unicode NFKD) and their marks dropped, so that a keyboard without
    accents writes the same word.
    """
    plain = unicodedata.normalize("NFKD", description).casefold()
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return tuple(sorted(set(_WORD.findall(letters))))


def bucket_of(description: str | None, num_buckets: int) -> int | None:
    """The bucket of a description, 0 to `num_buckets - 1`; None where there are no words.

    SHA-256 over the normal words, its first 8 bytes modulo `num_buckets`.
    """
    words = normal_words(description or "")
    if not words or num_buckets == 0:
        return None
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return int.from_bytes(digest[:8], "big") % num_buckets
