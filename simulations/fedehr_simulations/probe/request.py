"""`ProbeRequest`: what `fedehr-sim probe` is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.errors import UsageError
from fedehr_simulations.probe.checkpoints import Checkpoint, read_checkpoints

POOLINGS = ("mean", "sum")
"""Ways of pooling that have nothing to learn."""


@dataclass(frozen=True)
class ProbeRequest:
    """A probe.

    Attributes:
        runs: folders of runs.
        federation: whose labelled examples.
        poolings: of `POOLINGS`; none: each study's own.
        label_numbers: labels of the federation that a probe sees; None: all.
        num_neighbors: of a held-out subject.
        all_checkpoints: all that the runs left instead of the last.
    """

    runs: tuple[Path, ...]
    federation: Path
    poolings: tuple[str, ...] = ()
    label_numbers: tuple[int | None, ...] = (64, 256, None)
    num_neighbors: int = 10
    all_checkpoints: bool = False

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All that are to be probed.

        Raises:
            UsageError: the request is impossible, or its runs cannot be compared.
            CheckpointError: a run left none.
        """
        self._check()
        found = tuple(
            checkpoint
            for run in self.runs
            for checkpoint in read_checkpoints(run, every=self.all_checkpoints)
        )
        for other in found[1:]:
            _check_alike(found[0], other)
        return found

    def poolings_of(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The ways of pooling of a checkpoint's encodings; attention begins as the mean."""
        own = checkpoint.study.model.pooling
        return self.poolings or (own if own in POOLINGS else "mean",)

    def _check(self) -> None:
        if not self.runs:
            raise UsageError("name at least one run.")
        if len({run.resolve() for run in self.runs}) < len(self.runs):
            raise UsageError("a run is named twice. Name each once.")
        for how in self.poolings:
            if how not in POOLINGS:
                hint = (
                    "attention has weights that fine-tuning trains: it cannot be probed"
                    if how == "attention"
                    else "there is no such pooling"
                )
                raise UsageError(f"--pooling {how}: {hint}. Choose of {', '.join(POOLINGS)}.")
        if not self.label_numbers or self.num_neighbors < 1:
            raise UsageError("--labels and --neighbors need at least one each.")


def parse_label_numbers(text: str) -> tuple[int | None, ...]:
    """`64,256,all` as numbers, None for all; rising, each once.

    Raises:
        UsageError: a part is neither a number above 0 nor `all`.
    """
    numbers: set[int] = set()
    parts = parse_names(text)
    for part in parts:
        if part == "all":
            continue
        if not (part.isascii() and part.isdigit()) or int(part) < 1:
            raise UsageError(f"--labels {part}: write numbers and 'all', as 64,256,all.")
        numbers.add(int(part))
    return (*sorted(numbers), *([None] if "all" in parts else []))


def parse_names(text: str) -> tuple[str, ...]:
    """Names with commas between, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _check_alike(first: Checkpoint, other: Checkpoint) -> None:
    """Different tasks or cohorts mean different subjects, and no comparison."""
    ours, theirs = _asked(first), _asked(other)
    for what, own in ours.items():
        if own != theirs[what]:
            raise UsageError(
                f"{first.run} and {other.run} differ in {what}: they cannot be compared on the "
                "same subjects. Probe each by itself."
            )


def _asked(checkpoint: Checkpoint) -> dict[str, Sequence[object] | object]:
    study = checkpoint.study
    return {
        "[finetuning] tasks": study.finetuning.tasks,
        "[tasks]": study.task_configs,
        "[cohort]": study.cohort,
    }
