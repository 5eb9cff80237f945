"""`HospitalsRecord`: the mean of several measurements, each on hospitals of its own.

One draw of hospitals has one set of planted outcomes, which suits pre-training or does not. What
several draws have in common is what may be expected of the next one.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field
from scipy import stats

from fedehr_shared.errors import DataError, UsageError
from fedehr_simulations.efficiency.candidates import OWN_LABELS
from fedehr_simulations.efficiency.own_labels import EVERY_SITE_ALIKE, OwnGain
from fedehr_simulations.efficiency.record import EfficiencyRecord, Gain, Place, Point
from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.verdict.result import Count, Finite, Interval, Part, Text

One = TypeVar("One", Point, Gain, OwnGain)
ALL_TASKS = "mean of tasks"
Cell = tuple[Place, str, Count | None, str]
"""Place, task, number of labels, and an arm or a reference."""


class MeanPoint(Part):
    """An arm with one number of labels: the mean over hospitals, and each of them."""

    place: Place
    task: Text
    num_labels: Count | None
    arm: Text
    auroc: Interval
    auroc_by_hospitals: tuple[Finite, ...]


class MeanGain(Part):
    """`pretrained` against another arm, hospitals by hospitals: paired."""

    place: Place
    task: Text
    num_labels: Count | None
    reference: Text
    auroc_points: Interval
    auroc_percent: Interval
    num_ahead: Count
    """Of the hospitals."""


class MeanOwnGain(Part):
    """The federation's model less each site's own: of each draw the mean over its sites."""

    task: Text
    num_labels: Count | None
    auroc_points: Interval
    by_hospitals: tuple[Finite, ...]


class HospitalsRecord(KeptPart):
    """Several measurements together."""

    format: Literal[1] = 1
    study: Text
    study_digest: Text
    num_hospitals: Annotated[int, Field(ge=2)]
    """Draws of hospitals; each is a federation."""
    commits: tuple[Text, ...]
    points: tuple[MeanPoint, ...]
    gains: tuple[MeanGain, ...]
    own_labels: tuple[MeanOwnGain, ...] = ()


def read_records(files: Sequence[Path]) -> list[EfficiencyRecord]:
    """Records of one study, each of other hospitals.

    Raises:
        UsageError: there are fewer than two, or one is given twice.
        DataError: a file is missing or damaged, or tells of something else than the first.
    """
    if len(files) < 2:
        raise UsageError("give two records or more, each of hospitals of its own.")
    records = [_read(file) for file in files]
    first = records[0]
    for file, record in zip(files[1:], records[1:], strict=True):
        if record.study != first.study:
            raise DataError(
                f"{file} is of study {record.study.name} ({record.study.digest[:16]}), {files[0]} "
                f"of {first.study.name} ({first.study.digest[:16]}). Measure one study on all."
            )
        if _cells(record) != _cells(first):
            raise DataError(
                f"{file} tells of other labels, arms, tasks or sites than {files[0]}. Measure all "
                "with the same options."
            )
    if len({record.model_dump_json(include={"points"}) for record in records}) < len(records):
        raise UsageError("two of the records are the same: each must be of hospitals of its own.")
    return records


def over_hospitals(records: Sequence[EfficiencyRecord]) -> HospitalsRecord:
    """The means, with Student's 95 % intervals over the hospitals (1908), task by task and over
    the tasks.

    Args:
        records: see `read_records`.
    """
    points = _by_cell([_points(record) for record in records])
    gains = _by_cell([_gains(record) for record in records])
    return HospitalsRecord(
        study=records[0].study.name,
        study_digest=records[0].study.digest,
        num_hospitals=len(records),
        commits=tuple(sorted({run.commit for record in records for run in record.runs})),
        points=tuple(
            MeanPoint(
                place=place, task=task, num_labels=num, arm=arm, auroc=interval_over(told[:, 0]),
                auroc_by_hospitals=tuple(told[:, 0].tolist()),
            )
            for (place, task, num, arm), told in points.items()
        ),
        gains=tuple(
            MeanGain(
                place=place, task=task, num_labels=num, reference=reference,
                auroc_points=interval_over(told[:, 0]), auroc_percent=interval_over(told[:, 1]),
                num_ahead=int((told[:, 0] > 0).sum()),
            )
            for (place, task, num, reference), told in gains.items()
        ),
        own_labels=tuple(
            MeanOwnGain(
                task=task, num_labels=num, auroc_points=interval_over(told[:, 0]),
                by_hospitals=tuple(told[:, 0].tolist()),
            )
            for (_, task, num, _), told in _by_cell([_own(one) for one in records]).items()
        ),
    )  # fmt: skip


def interval_over(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Interval:
    """Mean and Student's 95 % interval of at least two values. `[hospitals]`."""
    mean, num = float(values.mean()), values.size
    half = float(stats.t.ppf(0.975, num - 1) * values.std(ddof=1) / np.sqrt(num))
    return Interval(value=mean, low=mean - half, high=mean + half)


def _read(file: Path) -> EfficiencyRecord:
    record = EfficiencyRecord.read(file)
    if record is None:
        raise DataError(
            f"{file} is not there. Name the efficiency.json that `fedehr-sim efficiency` wrote."
        )
    return record


def _cells(record: EfficiencyRecord) -> tuple[list[Cell], ...]:
    return list(_points(record)), list(_gains(record)), list(_own(record))


def _points(record: EfficiencyRecord) -> dict[Cell, list[float]]:
    return _with_all_tasks(record.points, lambda one: one.arm, lambda one: [one.auroc])


def _gains(record: EfficiencyRecord) -> dict[Cell, list[float]]:
    return _with_all_tasks(
        record.gains, lambda one: one.reference, lambda one: [one.auroc_points, one.auroc_percent]
    )


def _own(record: EfficiencyRecord) -> dict[Cell, list[float]]:
    means = [gain for gain in record.own_labels if gain.site == EVERY_SITE_ALIKE]
    return _with_all_tasks(means, lambda one: OWN_LABELS, lambda one: [one.auroc_points])


def _with_all_tasks(
    told: Iterable[One], name: Callable[[One], str], figures: Callable[[One], list[Interval]]
) -> dict[Cell, list[float]]:
    cells: dict[Cell, list[float]] = {}
    for one in told:
        values = [figure.value for figure in figures(one) if figure.value is not None]
        place: Place = "federation" if isinstance(one, OwnGain) else one.place
        cells[place, one.task, one.num_labels, name(one)] = values
    tasks = list(dict.fromkeys(task for _, task, _, _ in cells))
    if len(tasks) < 2:
        return cells
    means: dict[Cell, list[float]] = {}
    for place, _, num, arm in cells:
        own = [cells[place, task, num, arm] for task in tasks if (place, task, num, arm) in cells]
        means[place, ALL_TASKS, num, arm] = np.mean(own, axis=0).tolist()
    return cells | means


def _by_cell(
    told: Sequence[dict[Cell, list[float]]],
) -> dict[Cell, "np.ndarray[tuple[int, int], np.dtype[np.float64]]"]:
    """`[hospitals, figures]` a cell."""
    return {cell: np.array([one[cell] for one in told]) for cell in told[0]}
