"""`EfficiencyRequest`: what is measured, and the pieces of work that it makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedehr_server.model_shelf import FOLDER_NAME as MODELS
from fedehr_server.vocabulary_shelf import FOLDER_NAME as VOCABULARIES
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import TRAIN
from fedehr_simulations.arms.alone import for_one_site
from fedehr_simulations.arms.scratch import without_pretraining
from fedehr_simulations.efficiency.bag_run import BAG_ARMS, BagRun
from fedehr_simulations.efficiency.candidates import (
    OWN_LABELS,
    PRETRAINED,
    SCRATCH,
    pretrained_candidates,
    scratch_candidates,
    study_of_labels,
)
from fedehr_simulations.efficiency.draws import LabelDraws, labelled_subjects
from fedehr_simulations.efficiency.label_set import LabelSet
from fedehr_simulations.efficiency.net_run import NetRun
from fedehr_simulations.engine.request import check_request
from fedehr_simulations.tuning_trials.pretraining_run import PretrainingRun

CURVE_ARMS = (PRETRAINED, SCRATCH, *BAG_ARMS)
"""Those that learn from all labels of a draw."""
ARMS = (*CURVE_ARMS, OWN_LABELS)
LABEL_NUMBERS = (64, 128, 256, 512, 1_024, None)
EVERY_SITE = "all"
WORK_FOLDER, MEMBERS_FOLDER, UNSEEN_FOLDER = ".work", "members", "unseen"
ArmRun = NetRun | BagRun


@dataclass(frozen=True)
class EfficiencyRequest:
    """A measurement.

    Attributes:
        study: the study, with its first seed.
        federation: the federation folder.
        label_numbers: labels of the federation, rising; None: all.
        arms: each of `ARMS` at most once.
        num_seeds: seeds rising from the study's own; each draws first weights and labels.
        held_out_site: takes no part in vocabulary, pre-training or labels; empty: none.
        labels_at: the one site that has labels, or `all`.
        out: a new folder, or one that an earlier call of the same began.
        num_actors: runs side by side, None: one a core.
    """

    study: StudyConfig
    federation: Path
    label_numbers: tuple[int | None, ...]
    arms: tuple[str, ...]
    num_seeds: int
    held_out_site: str
    labels_at: str
    out: Path
    num_actors: int | None = None

    def check(self) -> tuple[list[SiteFolder], SiteFolder | None]:
        """The sites that take part and the one that does not, when all is right beforehand.

        Raises:
            UsageError: an option is wrong.
            DataError: a site lacks what the study asks for.
        """
        _require_known(self.arms)
        numbers = [num for num in self.label_numbers if num is not None]
        if not self.label_numbers or any(num < 1 for num in numbers):
            raise UsageError("--labels: give numbers from 1 up, or all, with commas.")
        if self.num_seeds < 1:
            raise UsageError(f"--seeds {self.num_seeds}: choose 1 or more.")
        kinds = {task.kind for task in self.study.task_configs}
        if kinds != {"binary"} or self.study.finetuning.local_parts:
            raise UsageError(
                "label-efficiency curves are of binary tasks, and of models without local_parts. "
                "Name other [finetuning] tasks, and leave out local_parts."
            )
        sites = check_request(self.study, self.federation)
        members = [site for site in sites if site.name != self.held_out_site]
        names = [site.name for site in members]
        if self.held_out_site and len(members) == len(sites):
            raise UsageError(
                f"--held-out-site {self.held_out_site}: the sites are {', '.join(names)}."
            )
        if self.labels_at not in {EVERY_SITE, *names}:
            raise UsageError(
                f"--labels-at {self.labels_at}: name {EVERY_SITE} or one of {', '.join(names)}."
            )
        if len(members) < self.study.federation.min_sites:
            raise DataError(
                f"{len(members)} site(s) take part, and the study wants "
                f"{self.study.federation.min_sites}. Lower [federation] min_sites."
            )
        unseen = next((site for site in sites if site.name == self.held_out_site), None)
        return members, unseen

    @property
    def seeds(self) -> list[int]:
        """Seeds of the studies and of the draws."""
        return [self.study.seed + more for more in range(self.num_seeds)]

    @property
    def scratch(self) -> Path:
        """Token stores lie here while the measurement runs."""
        return self.out / WORK_FOLDER

    def pretrainings(self, vocabulary: str) -> list[PretrainingRun]:
        """One a seed, of the sites that take part.

        Args:
            vocabulary: the digest of the one vocabulary.
        """
        base = _with_vocabulary(self.study, vocabulary)
        finetuning = base.finetuning.model_copy(update={"rounds": 0})
        study = base.model_copy(update={"finetuning": finetuning})
        return [
            PretrainingRun(
                study=study.with_seed(seed),
                federation=self.out / MEMBERS_FOLDER,
                vocabularies=self.out / VOCABULARIES,
                models=self.out / MODELS,
                out=self.out,
                work=self.scratch / f"pretraining-{seed}",
            )
            for seed in (self.seeds if PRETRAINED in self.arms else [])
        ]

    def label_sets(
        self, members: Sequence[SiteFolder], unseen: SiteFolder | None
    ) -> dict[tuple[int, int | None], LabelSet]:
        """By seed and number of labels, what every arm may learn from.

        Raises:
            DataError: a draw would leave a site fewer labels than `min_cell`, or no site has
                so many.
        """
        labelled = self._labelled(members)
        draws = {seed: LabelDraws.of(labelled, seed) for seed in self.seeds}
        return {
            (seed, num): LabelSet(
                seed=seed,
                num=num,
                kept={site: frozenset(own) for site, own in draw.first(num).items()},
                num_train=draw.counts(TRAIN, num),
                tasks=self.study.finetuning.tasks,
                members=tuple(members),
                unseen=unseen,
            ).required(self.study)
            for seed, draw in draws.items()
            for num in self.label_numbers
        }

    def runs(
        self,
        sets: dict[tuple[int, int | None], LabelSet],
        vocabulary: str,
        models: dict[int, str],
    ) -> list[ArmRun]:
        """All runs, seed after seed, so that a first seed of all is there early.

        Args:
            sets: see `label_sets`.
            vocabulary: the digest of the one vocabulary.
            models: by seed, the digest of what was pre-trained.
        """
        return [
            run
            for labels in sets.values()
            for arm in self.arms
            for run in self._runs(arm, labels, vocabulary, models)
        ]

    def _labelled(self, members: Sequence[SiteFolder]) -> dict[str, dict[str, list[int]]]:
        """Of the sites that may fine-tune; a site with fewer labels than `min_cell` may not."""
        min_cell = self.study.vocabulary.min_cell
        asked = [site for site in members if self.labels_at in {EVERY_SITE, site.name}]
        found = {site.name: labelled_subjects(self.study, site) for site in asked}
        enough = {site: own for site, own in found.items() if len(own[TRAIN]) >= min_cell}
        if not enough:
            raise DataError(
                f"no site has {min_cell} labelled subjects to train on, as [vocabulary] min_cell "
                "asks for. Add labels."
            )
        return enough

    def _runs(
        self, arm: str, labels: LabelSet, vocabulary: str, models: dict[int, str]
    ) -> list[ArmRun]:
        study = _with_vocabulary(self.study.with_seed(labels.seed), vocabulary)
        number = "all" if labels.num is None else str(labels.num)
        folder = self.out / arm / f"seed-{labels.seed}" / number
        if arm in BAG_ARMS:
            return [BagRun(arm, study, labels, self.out, folder, self.scratch)]
        study = without_pretraining(study)
        if arm == SCRATCH:
            candidates = scratch_candidates(_of_labels(study, labels))
            return [NetRun(arm, candidates, labels, self.out, folder, self.scratch)]
        pretraining = study.pretraining.model_copy(update={"reuse": models[labels.seed]})
        study = study.model_copy(update={"pretraining": pretraining})
        if arm == OWN_LABELS:
            return self._own_runs(study, labels, folder)
        candidates = pretrained_candidates(_of_labels(study, labels), labels.num)
        return [NetRun(arm, candidates, labels, self.out, folder, self.scratch)]

    def _own_runs(self, study: StudyConfig, labels: LabelSet, folder: Path) -> list[ArmRun]:
        """Each site of the draw by itself, with as much choice as all have together.

        With twice `min_cell` labels one outcome of a task has `min_cell`, without which the site
        may not tell of the task; a site with fewer learns nothing by itself.
        """
        runs: list[ArmRun] = []
        for site in labels.members:
            num_labels = labels.num_train.get(site.name, 0)
            if num_labels < 2 * study.vocabulary.min_cell:
                continue
            own = labels.of_site(site)
            candidates = pretrained_candidates(for_one_site(_of_labels(study, own)), num_labels)
            place = folder / site.name
            runs.append(
                NetRun(OWN_LABELS, candidates, own, self.out, place, self.scratch, site.name)
            )
        return runs


def _of_labels(study: StudyConfig, labels: LabelSet) -> StudyConfig:
    fewest = min(labels.num_train.values())
    return study_of_labels(study, num_sites=len(labels.kept), fewest=fewest)


def _require_known(arms: tuple[str, ...]) -> None:
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown or not arms or len(set(arms)) < len(arms):
        raise UsageError(
            f"--arms {','.join(arms)}: name each of {', '.join(ARMS)} at most once"
            f"{f'; {unknown[0]!r} is not one of them' if unknown else ''}."
        )
    if OWN_LABELS in arms and PRETRAINED not in arms:
        raise UsageError(
            f"--arms {','.join(arms)}: {OWN_LABELS} is told against {PRETRAINED}. Name it too."
        )


def _with_vocabulary(study: StudyConfig, digest: str) -> StudyConfig:
    section = study.vocabulary.model_copy(update={"reuse": digest})
    return study.model_copy(update={"vocabulary": section})
