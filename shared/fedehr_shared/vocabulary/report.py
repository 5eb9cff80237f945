"""What one site tells the federation about its codes: nothing below its `min_cell`."""

from dataclasses import dataclass, field

from fedehr_shared.vocabulary.histogram import MergedHistogram


@dataclass(frozen=True)
class VocabularyReport:
    """One site's answer in the vocabulary phase.

    All counts are by the cell rule (`fedehr_shared.cells`).

    `num_subjects_by_code`: a code, and in how many training subjects it occurs; a subject
    counts once a code. A code too rare to be told is rolled up: its subjects count for its
    parent, together with those of the parent's other rare children.

    `parents`: child to parent, for the reported codes and their ancestors.

    `labels`: by task, the number of labelled training subjects and of the positive ones
    among them; a task with fewer than `min_cell` positives or negatives is left out.

    `histograms`: for reported numeric codes, merged histograms of each subject's first value.
    """

    site: str
    num_subjects: int
    num_subjects_by_code: dict[str, int] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    histograms: dict[str, MergedHistogram] = field(default_factory=dict)
    labels: dict[str, tuple[int, int]] = field(default_factory=dict)
