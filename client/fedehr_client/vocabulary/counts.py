"""`CodeCounts`: subjects a code, added up over chunks of whole subjects.

Who the subjects are is kept for rare codes alone, of which there are fewer than `min_cell` a
code: that is all that rolling up needs.
"""

import numpy as np
from numpy.typing import NDArray

from fedehr_client.vocabulary.histograms import FirstValues
from fedehr_client.vocabulary.subjects import SubjectCodes


class CodeCounts:
    """What a site's training subjects have.

    Attributes:
        num_subjects: training subjects with an event, births included.
        by_code: distinct subjects a code. `[codes]`
        first_values: each subject's first value a code.
    """

    def __init__(self, num_codes: int, min_cell: int) -> None:
        self.num_subjects = 0
        self.by_code = np.zeros(num_codes, dtype=np.int64)
        self.first_values = FirstValues()
        self._min_cell = min_cell
        self._rare_codes = np.empty(0, dtype=np.int64)
        self._rare_subjects = np.empty(0, dtype=np.int64)

    def add(self, chunk: SubjectCodes) -> None:
        """Count a chunk; no subject may come again in another one."""
        self.num_subjects += chunk.subject_ids.size
        self.by_code += np.bincount(chunk.codes, minlength=self.by_code.size)
        self.first_values.add(chunk.valued_codes, chunk.places)
        codes = np.concatenate([self._rare_codes, chunk.codes])
        subjects = np.concatenate([self._rare_subjects, chunk.subject_ids[chunk.subjects]])
        rare = self.by_code[codes] < self._min_cell
        self._rare_codes, self._rare_subjects = codes[rare], subjects[rare]

    @property
    def rare(self) -> dict[int, NDArray[np.int64]]:
        """The subjects of each code that fewer than `min_cell` have."""
        order = np.argsort(self._rare_codes, kind="stable")
        codes, starts = np.unique(self._rare_codes[order], return_index=True)
        ends = np.append(starts[1:], order.size)
        subjects = self._rare_subjects[order]
        bounds = zip(codes.tolist(), starts.tolist(), ends.tolist(), strict=False)
        return {code: subjects[start:end] for code, start, end in bounds}
