"""`Vocabulary`: codes and their quantile cuts become token ids; one digest names it all."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import WireError
from fedehr_shared.vocabulary.grid import NUM_EDGES

PAD, UNKNOWN, MASK, START = 0, 1, 2, 3
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[MASK]", "[START]")


@dataclass(frozen=True)
class Vocabulary:
    """Codes in token order, each with the cuts of its quantile bins (empty: no values).

    A code owns one token for events without a value, and, if it has cuts or any value was
    reported, one fused token `CODE//Qn` a bin right after it.
    """

    codes: tuple[str, ...]
    cuts: tuple[tuple[int, ...] | None, ...]

    def __post_init__(self) -> None:
        """Refuse doubled codes and cuts that do not rise."""
        if len(self.codes) != len(self.cuts) or len(set(self.codes)) != len(self.codes):
            raise WireError("a vocabulary names a code twice or lacks its cuts. Ask again.")
        for cuts in self.cuts:
            if cuts is not None and (
                list(cuts) != sorted(set(cuts)) or any(not 0 <= c <= NUM_EDGES for c in cuts)
            ):
                raise WireError("a vocabulary holds cuts that do not rise along the grid.")

    @cached_property
    def first_tokens(self) -> dict[str, int]:
        """Each code's first token (the one for events without a value)."""
        first: dict[str, int] = {}
        token = len(SPECIAL_TOKENS)
        for code, cuts in zip(self.codes, self.cuts, strict=True):
            first[code] = token
            token += 1 + (0 if cuts is None else len(cuts) + 1)
        return first

    @cached_property
    def num_tokens(self) -> int:
        """All tokens, the special ones included."""
        bins = sum(len(cuts) + 1 for cuts in self.cuts if cuts is not None)
        return len(SPECIAL_TOKENS) + len(self.codes) + bins

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every token's name, in order: `CODE`, `CODE//Q1`, ..."""
        names = list(SPECIAL_TOKENS)
        for code, cuts in zip(self.codes, self.cuts, strict=True):
            names.append(code)
            if cuts is not None:
                names += [f"{code}//Q{number}" for number in range(1, len(cuts) + 2)]
        return tuple(names)

    def resolve(self, code: str, parents: Mapping[str, str]) -> tuple[str | None, int]:
        """The nearest known code at or above `code`, and the steps up to it.

        Returns:
            `(None, steps)` when no ancestor is known: the event becomes `[UNK]`.
        """
        seen: set[str] = set()
        steps = 0
        at: str | None = code
        while at is not None and at not in seen:
            if at in self.first_tokens:
                return at, steps
            seen.add(at)
            at = parents.get(at)
            steps += 1
        return None, steps

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
        content = {"format": 1, "grid_edges": NUM_EDGES, "codes": entries}
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Read what `to_json` wrote.

        Raises:
            WireError: another format or grid, or not a vocabulary at all.
        """
        try:
            content = json.loads(text)
            if content["format"] != 1 or content["grid_edges"] != NUM_EDGES:
                raise WireError("the vocabulary has another format. Use the same fedehr version.")
            entries = [(str(code), cuts) for code, cuts in content["codes"]]
            cuts = tuple(None if c is None else tuple(int(x) for x in c) for _, c in entries)
        except (ValueError, KeyError, TypeError) as error:
            raise WireError("the vocabulary cannot be read. Ask the coordinator.") from error
        return cls(tuple(code for code, _ in entries), cuts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
