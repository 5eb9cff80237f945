"""`Vocabulary`: codes and their quantile cuts become token ids; one digest names it all."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import WireError
from fedehr_shared.vocabulary.ancestors import candidates
from fedehr_shared.vocabulary.description import bucket_of
from fedehr_shared.vocabulary.grid import NUM_EDGES
from fedehr_shared.vocabulary.resolution import ANCESTOR, BUCKET, EXACT, UNKNOWN_STEP, Resolution

FORMAT = 2
"""Of the file. 2 added the buckets of descriptions; 1 had none."""

PAD, UNKNOWN, MASK, START = 0, 1, 2, 3
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[MASK]", "[START]")
_MOST_HASH_BUCKETS = 4_096
"""As in a study: a few digits of a message must not ask a site for all of its memory."""


@dataclass(frozen=True)
class Vocabulary:
    """Special tokens, buckets of descriptions, then the codes with their quantile bins.

    A code owns one token for events without a value, and, if it has cuts or any value was
    reported, one fused token `CODE//Qn` a bin right after it.

    Attributes:
        codes: in token order.
        cuts: each code's inner bin edges on the grid; None: the code carries no values.
        num_hash_buckets: tokens for codes that are known by their description alone.
    """

    codes: tuple[str, ...]
    cuts: tuple[tuple[int, ...] | None, ...]
    num_hash_buckets: int = 0

    def __post_init__(self) -> None:
        """Refuse doubled codes, cuts that do not rise and a strange number of buckets."""
        if len(self.codes) != len(self.cuts) or len(set(self.codes)) != len(self.codes):
            raise WireError("a vocabulary names a code twice or lacks its cuts. Ask again.")
        if not 0 <= self.num_hash_buckets <= _MOST_HASH_BUCKETS:
            raise WireError(
                f"a vocabulary's buckets are not within 0 to {_MOST_HASH_BUCKETS}. Ask again."
            )
        for cuts in self.cuts:
            if cuts is not None and (
                list(cuts) != sorted(set(cuts)) or any(not 0 <= c <= NUM_EDGES for c in cuts)
            ):
                raise WireError("a vocabulary holds cuts that do not rise along the grid.")

    @cached_property
    def first_tokens(self) -> dict[str, int]:
        """Each code's first token (the one for events without a value)."""
        first: dict[str, int] = {}
        token = len(SPECIAL_TOKENS) + self.num_hash_buckets
        for code, cuts in zip(self.codes, self.cuts, strict=True):
            first[code] = token
            token += 1 + (0 if cuts is None else len(cuts) + 1)
        return first

    @cached_property
    def num_tokens(self) -> int:
        """All tokens, the special ones and the buckets included."""
        bins = sum(len(cuts) + 1 for cuts in self.cuts if cuts is not None)
        return len(SPECIAL_TOKENS) + self.num_hash_buckets + len(self.codes) + bins

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every token's name, in order: `[UNK]`, `[BUCKET 1]`, `CODE`, `CODE//Q1`, ..."""
        names = list(SPECIAL_TOKENS)
        names += [f"[BUCKET {number}]" for number in range(1, self.num_hash_buckets + 1)]
        for code, cuts in zip(self.codes, self.cuts, strict=True):
            names.append(code)
            if cuts is not None:
                names += [f"{code}//Q{number}" for number in range(1, len(cuts) + 2)]
        return tuple(names)

    @cached_property
    def code_of_token(self) -> NDArray[np.int64]:
        """The number of each token's code: a code's value bins share it with its bare token.

        Special tokens and buckets have numbers of their own. Shape: `[num_tokens]`.
        """
        begins_code = np.zeros(self.num_tokens, dtype=bool)
        begins_code[: len(SPECIAL_TOKENS) + self.num_hash_buckets] = True
        begins_code[list(self.first_tokens.values())] = True
        return np.cumsum(begins_code) - 1

    def resolve(self, code: str, parents: Mapping[str, str], description: str | None) -> Resolution:
        """The token of a code, or of what is nearest to it.

        In order: the code; its ancestors by `parents`, nearest first, and by the spelling of
        ICD and ATC codes; each in ICD's other spelling too, with or without the point; the
        bucket of the description's words; `[UNK]`.

        Args:
            code: as the site spells it.
            parents: the site's own parents of its codes; a cycle does no harm.
            description: the site's text for the code, if it has one.
        """
        if code in self.first_tokens:
            # Most codes; a site has many thousands.
            return Resolution(self.first_tokens[code], EXACT, code)
        for known in candidates(code, parents):
            if known in self.first_tokens:
                return Resolution(self.first_tokens[known], ANCESTOR, known)
        bucket = bucket_of(description, self.num_hash_buckets)
        if bucket is not None:
            return Resolution(len(SPECIAL_TOKENS) + bucket, BUCKET, None)
        return Resolution(UNKNOWN, UNKNOWN_STEP, None)

    def cuts_of(self, code: str) -> NDArray[np.int32] | None:
        """The quantile cuts of a known code, None if it carries no values."""
        cuts = self._cuts_by_code[code]
        return None if cuts is None else np.asarray(cuts, dtype=np.int32)

    @cached_property
    def _cuts_by_code(self) -> dict[str, tuple[int, ...] | None]:
        return dict(zip(self.codes, self.cuts, strict=True))

    def to_json(self) -> str:
        """One canonical line: the digest is over these bytes."""
        entries = [
            [code, None if cuts is None else list(cuts)]
            for code, cuts in zip(self.codes, self.cuts, strict=True)
        ]
        content = {
            "format": FORMAT,
            "grid_edges": NUM_EDGES,
            "num_hash_buckets": self.num_hash_buckets,
            "codes": entries,
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read what `to_json` wrote.

        Raises:
            WireError: another format or grid, or not a vocabulary at all.
        """
        try:
            content = json.loads(text)
            _check_format(content["format"], content["grid_edges"])
            num_hash_buckets = content["num_hash_buckets"]
            entries = [(str(code), cuts) for code, cuts in content["codes"]]
            cuts = tuple(None if c is None else tuple(int(x) for x in c) for _, c in entries)
        except (ValueError, KeyError, TypeError) as error:
            raise WireError("the vocabulary cannot be read. Ask the coordinator.") from error
        if type(num_hash_buckets) is not int:
            raise WireError("the vocabulary cannot be read. Ask the coordinator.")
        return cls(tuple(code for code, _ in entries), cuts, num_hash_buckets)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _check_format(number: object, grid_edges: object) -> None:
    if number != FORMAT:
        raise WireError(
            f"the vocabulary has format {number!r:.20}, and this version of fedehr reads format "
            f"{FORMAT}. Agree on it anew: run a study without [vocabulary] reuse; or read it with "
            "the version that wrote it."
        )
    if grid_edges != NUM_EDGES:
        raise WireError(
            f"the vocabulary has a grid of {grid_edges!r:.20} edges instead of {NUM_EDGES}. Use "
            "the version of fedehr that wrote it, or agree on a vocabulary anew."
        )
