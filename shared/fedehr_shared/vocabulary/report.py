"""What one site tells the federation about its codes: nothing below its `min_cell`."""

from dataclasses import dataclass, field

from fedehr_shared.vocabulary.histogram import MergedHistogram
from fedehr_shared.vocabulary.noise_spent import NoiseSpent


@dataclass(frozen=True)
class VocabularyReport:
    """One site's answer in the vocabulary phase.

    All counts are by the cell rule (`fedehr_shared.cells`), or noisy where the study asks for
    noise; `num_subjects` is by the cell rule always. A site that reports no code was not asked
    for any: the study re-uses a vocabulary.

    `num_subjects_by_code`: a code, and in how many training subjects it occurs; a subject
    counts once a code. A code too rare to be told is rolled up: its subjects count for its
    parent, together with those of the parent's other rare children.

    `parents`: child to parent, for the reported codes and their ancestors, as the site gives
    them; what a code's spelling gives (`fedehr_shared.vocabulary.structure`) is not repeated.

    `labels`: by task, labelled training subjects in each of its parts
    (`TaskConfig.num_counts`): classes, or intervals of an event and all else. A part below
    `min_cell` is 0, a task of such parts alone is left out, and one that the site lacks too.

    `histograms`: for reported numeric codes, merged histograms of each subject's first value.
    """

    site: str
    num_subjects: int
    num_subjects_by_code: dict[str, int] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    histograms: dict[str, MergedHistogram] = field(default_factory=dict)
    labels: dict[str, tuple[int, ...]] = field(default_factory=dict)
    unit: int = 1
    noise: NoiseSpent | None = None
