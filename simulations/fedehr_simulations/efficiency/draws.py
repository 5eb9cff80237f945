"""`LabelDraws`: which labelled subjects an arm may learn from, the same for every arm.

Hospitals take turns: the first label is one of the first hospital, the second one of the next, and
so on; a hospital that has no more is passed over. Draws are nested, as in EHRSHOT (Wornow et al.
2023): a smaller one is the beginning of a larger. Every hospital then has labels enough for the
cell rule already where there are few, and trains as it would in a study.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import TRAIN, TUNING
from fedehr_shared.seeds import derive_generator

DRAWN_SPLITS = (TRAIN, TUNING)


@dataclass(frozen=True)
class LabelDraws:
    """The order in which labels are drawn.

    A label is one labelled subject of one site, with the outcomes of all tasks.

    Attributes:
        order: by split, sites and subjects; a draw of any size is its beginning.
    """

    order: Mapping[str, tuple[tuple[str, int], ...]]

    @classmethod
    def of(cls, labelled: Mapping[str, Mapping[str, Sequence[int]]], seed: int) -> "LabelDraws":
        """Draw an order.

        Args:
            labelled: by site and split, the subjects with a label.
            seed: another one draws other labels.
        """
        return cls(
            {
                split: tuple(
                    _in_turn({site: own[split] for site, own in labelled.items()}, split, seed)
                )
                for split in DRAWN_SPLITS
            }
        )

    def first(self, num: int | None) -> dict[str, set[int]]:
        """By site, the subjects of a draw of `num` labels for training and as many for tuning.

        Args:
            num: how many; all there are where there are fewer. None: all.
        """
        drawn: dict[str, set[int]] = {}
        for split in DRAWN_SPLITS:
            for site, subject in self.order[split][:num]:
                drawn.setdefault(site, set()).add(subject)
        return drawn

    def counts(self, split: str, num: int | None) -> dict[str, int]:
        """By site, how many subjects of a split a draw holds."""
        sites, counts = np.unique([s for s, _ in self.order[split][:num]], return_counts=True)
        return dict(zip(sites.tolist(), counts.tolist(), strict=True))


def labelled_subjects(study: StudyConfig, site: SiteFolder) -> dict[str, list[int]]:
    """By split, the subjects of the study's cohort that have a label of any task.

    Raises:
        MissingTaskError: the site has no labels for a task.
        DataError: a file is damaged.
    """
    splits = read_splits(site)
    labels = read_cohort_labels(site, study.tasks_by_name, study.cohort)
    subjects = sorted({one for own in labels.values() for one in own.subject_ids.tolist()})
    return {split: [s for s in subjects if splits.get(s) == split] for split in DRAWN_SPLITS}


def _in_turn(
    by_site: Mapping[str, Sequence[int]], split: str, seed: int
) -> Iterator[tuple[str, int]]:
    shuffled = {
        site: derive_generator("label draws", seed, site, split).permutation(np.asarray(own, int))
        for site, own in sorted(by_site.items())
    }
    for place in range(max((len(own) for own in shuffled.values()), default=0)):
        for site, own in shuffled.items():
            if place < len(own):
                yield site, int(own[place])
