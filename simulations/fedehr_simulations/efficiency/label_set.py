"""`LabelSet`: one draw of labels, and where whatever learnt from it is scored."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fedehr_client.label_counts import count_labels
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_simulations.efficiency.arm_result import AT, FEDERATION, UNSEEN, key_of
from fedehr_simulations.efficiency.linked_sites import link_with_labels


@dataclass(frozen=True)
class LabelSet:
    """A draw.

    Attributes:
        seed: of the draw.
        num: labels asked for; None: all.
        kept: by site, the subjects whose labels may be seen: of the train and the tuning split.
        num_train: by site, how many of them are of the train split.
        tasks: whose labels.
        members: the sites that take part.
        unseen: the site that does not; None: there is none.
    """

    seed: int
    num: int | None
    kept: Mapping[str, frozenset[int]]
    num_train: Mapping[str, int]
    tasks: tuple[str, ...]
    members: tuple[SiteFolder, ...]
    unseen: SiteFolder | None

    def required(self, study: StudyConfig) -> "LabelSet":
        """The same, when every site of the draw has labels enough to train, and some site enough
        of one outcome of each task to tell of it.

        Args:
            study: says how many that is.

        Raises:
            DataError: one has fewer than `min_cell`, or no site may tell of a task.
        """
        min_cell = study.vocabulary.min_cell
        fewest = min(self.num_train.get(site, 0) for site in self.kept)
        if fewest < min_cell:
            raise DataError(
                f"{self.num} labels over {len(self.kept)} site(s) leave one of them {fewest} to "
                f"train on, fewer than min_cell = {min_cell}: it would be left out. Ask for more "
                "labels, name the one site that has them with --labels-at, or lower [vocabulary] "
                "min_cell."
            )
        told = {task for site in self._drawn for task in self._told_at(site, study)}
        untold = [task for task in self.tasks if task not in told]
        if untold:
            raise DataError(
                f"{self.title}: no site has min_cell = {min_cell} of one outcome of task "
                f"'{untold[0]}' to train on, so that none may tell of it. Ask for more labels, "
                "give the study another seed, or lower [vocabulary] min_cell."
            )
        return self

    @property
    def _drawn(self) -> list[SiteFolder]:
        return [site for site in self.members if site.name in self.kept]

    def _told_at(self, site: SiteFolder, study: StudyConfig) -> list[str]:
        """The tasks that a site may tell of: see `count_labels`."""
        kept = self.kept[site.name]
        splits = {s: split for s, split in read_splits(site).items() if s in kept}
        told = count_labels(
            site, study.tasks_by_name, splits, study.vocabulary.min_cell, study.cohort
        )
        return list(told)

    @property
    def title(self) -> str:
        """The draw in a few words."""
        return f"{'all' if self.num is None else self.num} labels, seed {self.seed}"

    @property
    def key(self) -> str:
        """A digest of whose labels may be seen, and of where is scored."""
        subjects = [f"{site}:{sorted(own)}" for site, own in sorted(self.kept.items())]
        places = [f"{place}:{[s.name for s in sites]}" for place, sites in self.scored.items()]
        return key_of(*subjects, *places)

    @property
    def scored(self) -> dict[str, tuple[SiteFolder, ...]]:
        """By place, the sites whose held-out subjects are scored."""
        unseen = {} if self.unseen is None else {UNSEEN: (self.unseen,)}
        by_site = {f"{AT}{site.name}": (site,) for site in self.members}
        return {FEDERATION: self.members, **by_site, **unseen}

    def of_site(self, site: SiteFolder) -> "LabelSet":
        """The part of the draw that one site holds, scored at that site alone."""
        return replace(
            self,
            kept={site.name: self.kept[site.name]},
            num_train={site.name: self.num_train[site.name]},
            members=(site,),
            unseen=None,
        )

    @contextmanager
    def folder(self, parent: Path) -> Iterator[list[SiteFolder]]:
        """The sites with these labels and no other, while the context lasts."""
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(dir=parent) as made:
            yield link_with_labels(Path(made) / "sites", self.members, self.tasks, self.kept)
