"""`RoundPlan`: the steps of one site's round, their subjects and their learning rates."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.schedule import batch_rows, learning_rate
from fedehr_shared.cells import told_count
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.errors import TooFewSubjectsError

_SECONDS_PER_MINUTE = 60.0
Seed = tuple[str | int, ...]


@dataclass(frozen=True)
class RoundPlan:
    """What a site does in one round of a phase.

    Steps are numbered through the whole phase. The plan of a round follows from the study, the
    round's number and the site's rows alone: a site that missed rounds takes up the schedule
    where the study is.

    Attributes:
        config: the phase's settings.
        seed: of the rows' order: study, phase and site.
        num_rows: subjects or examples to draw from.
        steps_per_epoch: steps in which every row is seen once.
        first_step: the round's first step.
        num_steps: steps of the round, unless the clock ends it before.
        num_total_steps: of all the phase's rounds.
        least_steps: the first steps that together rest on `min_cell` subjects, at any site of
            the same told count: no clock ends the round before them.
    """

    config: OptimizationConfig
    seed: Seed
    num_rows: int
    steps_per_epoch: int
    first_step: int
    num_steps: int
    num_total_steps: int
    least_steps: int

    @classmethod
    def of(
        cls,
        config: OptimizationConfig,
        subjects: NDArray[np.int64],
        round_number: int,
        *,
        seed: Seed,
        min_cell: int,
    ) -> "RoundPlan":
        """The plan of a round.

        Numbers of steps leave the site, as does whether a round is refused, so both rest on the
        number of rows as the cell rule tells it. With `batch_subjects` the rows beyond it are
        spread over an epoch's batches, which then are a little larger.

        Args:
            config: the phase's settings.
            subjects: `[rows]`, the subject of each row to draw, as its row in the token store;
                -1 for one without events, who is not counted.
            round_number: from 1 within the phase.
            seed: of the rows' order: study, phase and site.
            min_cell: the site's for this study.

        Raises:
            TooFewSubjectsError: the round would rest on fewer than `min_cell` subjects. A batch
                of one is one person's record: its tokens and its outcome stand in the update.
        """
        num_rows = int(subjects.size)
        if num_rows == 0:
            raise TooFewSubjectsError("the site has no subject to train on. Add records or labels.")
        told = told_count(num_rows, min_cell)
        steps_per_epoch = config.steps_per_epoch
        if config.batch_subjects:
            steps_per_epoch = max(1, math.ceil(told / config.batch_subjects))
        first = _end_of_round(config, steps_per_epoch, round_number - 1)
        last = _end_of_round(config, steps_per_epoch, round_number)
        num_distinct = np.unique(subjects[subjects >= 0]).size
        by_count = _steps_of_count(min_cell, told, range(first, last), steps_per_epoch)
        if by_count is None or num_distinct < min_cell:
            raise _too_few(min_cell)
        batches = (
            subjects[batch_rows(num_rows, step, steps_per_epoch, *seed)]
            for step in range(first, last)
        )
        return cls(
            config=config,
            seed=seed,
            num_rows=num_rows,
            steps_per_epoch=steps_per_epoch,
            first_step=first,
            num_steps=last - first,
            num_total_steps=_end_of_round(config, steps_per_epoch, config.rounds),
            # Where subjects have several rows, or none with events, it may take more.
            least_steps=max(by_count, _steps_to_see(min_cell, batches)),
        )

    @classmethod
    def private(
        cls,
        config: OptimizationConfig,
        num_subjects: int,
        round_number: int,
        *,
        seed: Seed,
        min_cell: int,
    ) -> "RoundPlan":
        """The plan of a round with differential privacy, which nothing at the site changes.

        `steps_per_round` steps, each of whichever subjects the site's randomness draws: `rows`
        and `epoch` say nothing of them. How few a round may rest on is for the noise to cover;
        that a site has `min_cell` is asked all the same.

        Args:
            config: the phase's settings, without a clock.
            num_subjects: that a step may draw.
            round_number: from 1 within the phase.
            seed: as in `of`.
            min_cell: the site's for this study.

        Raises:
            TooFewSubjectsError: the site has fewer than `min_cell` subjects.
        """
        if num_subjects < max(1, min_cell):
            raise TooFewSubjectsError(
                f"the site has fewer than min_cell = {max(1, min_cell)} subjects to train on. Add "
                "records or labels."
            )
        return cls(
            config=config,
            seed=seed,
            num_rows=num_subjects,
            steps_per_epoch=1,
            first_step=(round_number - 1) * config.steps_per_round,
            num_steps=config.steps_per_round,
            num_total_steps=config.rounds * config.steps_per_round,
            least_steps=1,
        )

    @property
    def steps(self) -> Sequence[int]:
        """The round's steps in order."""
        return range(self.first_step, self.first_step + self.num_steps)

    @property
    def deadline_seconds(self) -> float | None:
        """How long the round may last; None: until its steps are done."""
        minutes = self.config.minutes_per_round
        return minutes * _SECONDS_PER_MINUTE if minutes else None

    def epoch(self, step: int) -> int:
        """The pass over the rows that a step belongs to, from 0."""
        return step // self.steps_per_epoch

    def rows(self, step: int) -> NDArray[np.int64]:
        """The rows of a step. `[batch]`."""
        return batch_rows(self.num_rows, step, self.steps_per_epoch, *self.seed)

    def learning_rate(self, step: int, first_step: int = 0) -> float:
        """The rate at a step, by the share of the phase that is done, for what has learnt since
        `first_step`."""
        return learning_rate(step, self.num_total_steps, self.config, first_step)

    def end_of_round(self, round_number: int) -> int:
        """Steps of the phase up to the end of a round."""
        return _end_of_round(self.config, self.steps_per_epoch, round_number)


def _end_of_round(config: OptimizationConfig, steps_per_epoch: int, round_number: int) -> int:
    """Steps of the phase up to the end of a round; every round has one at least."""
    if not config.epochs_per_round:
        return round_number * config.steps_per_round
    epochs = round_number * config.epochs_per_round
    return max(round_number, math.floor(epochs * steps_per_epoch + 0.5))


def _steps_of_count(min_cell: int, num_rows: int, steps: range, steps_per_epoch: int) -> int | None:
    """The first steps that see `min_cell` rows at every site of `num_rows` or more; None: not
    even all of them are sure to.

    `k` steps of one epoch see at least `k num_rows / steps_per_epoch` rows, rounded down; where
    rows are repeated each step but the first counts so much, and the first one.
    """
    if num_rows < min_cell:
        return None
    repeats = int(num_rows < steps_per_epoch)
    enough = repeats + -(-(min_cell - repeats) * steps_per_epoch // num_rows)
    begin = steps.start
    while begin < steps.stop:
        end = min(steps.stop, (begin // steps_per_epoch + 1) * steps_per_epoch)
        if end - begin >= enough:
            return begin + enough - steps.start
        begin = end
    return None


def _steps_to_see(min_cell: int, batches: Iterable[NDArray[np.int64]]) -> int:
    seen: set[int] = set()
    for num_steps, batch in enumerate(batches, start=1):
        seen.update(batch[batch >= 0].tolist())
        if len(seen) >= min_cell:
            return num_steps
    raise _too_few(min_cell)


def _too_few(min_cell: int) -> TooFewSubjectsError:
    return TooFewSubjectsError(
        f"a round of this study sees fewer than min_cell = {min_cell} of the site's subjects, as "
        "the cell rule counts them. In the study lengthen the rounds (steps_per_round, "
        "epochs_per_round) or enlarge the batches (steps_per_epoch, batch_subjects)."
    )
