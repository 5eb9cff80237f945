"""Events become fused tokens `CODE//Qn`: the code, or what it backs off to, and the quantile
bin of its value."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.schema import BIRTH_CODE
from fedehr_shared.tokens.cut_values import CutTable
from fedehr_shared.vocabulary.resolution import EXACT
from fedehr_shared.vocabulary.vocabulary import Vocabulary


class Tokenizer:
    """What each of a site's codes becomes, looked up once a code.

    Attributes:
        steps: `[codes]` int8, the step of the back-off, as in `Resolution`.
        is_birth: `[codes]` bool: births give ages and no token.
    """

    def __init__(self, codes: CodeTable, vocabulary: Vocabulary) -> None:
        resolutions = [
            vocabulary.resolve(code, codes.parents, description)
            for code, description in zip(codes.codes, codes.descriptions, strict=True)
        ]
        self.steps = np.asarray([found.step for found in resolutions], dtype=np.int8)
        self.is_birth = np.asarray([code == BIRTH_CODE for code in codes.codes], dtype=bool)
        self._first_tokens = np.asarray([found.token for found in resolutions], dtype=np.int32)
        cuts_of = dict(zip(vocabulary.codes, vocabulary.cuts, strict=True))
        # A value counts only where the exact code is known: an ancestor's unit may be another.
        self._cuts = CutTable(
            [
                cuts_of[code] if found.step == EXACT else None
                for code, found in zip(codes.codes, resolutions, strict=True)
            ]
        )

    def tokens_of(
        self,
        code_rows: NDArray[np.intp],
        values: NDArray[np.float32],
        valued: NDArray[np.intp],
    ) -> NDArray[np.int32]:
        """The token of each event.

        Args:
            code_rows: `[events]`, rows of the code table.
            values: `[events]`.
            valued: the events that have a value.

        Shape: `[events]`.
        """
        tokens: NDArray[np.int32] = self._first_tokens.take(code_rows)
        bins = self._cuts.bins_of(code_rows.take(valued), values.take(valued))
        tokens[valued] += bins.astype(np.int32)
        return tokens
