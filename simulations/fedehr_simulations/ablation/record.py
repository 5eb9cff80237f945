"""`AblationRecord`: all runs of an ablation, and the file `OUT/ablation.json`."""

from collections.abc import Sequence
from typing import Literal

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_simulations.ablation.differences import Difference, differences
from fedehr_simulations.ablation.figures import RunFigures
from fedehr_simulations.ablation.masked_loss import COMMON
from fedehr_simulations.ablation.measuring import probe_rules
from fedehr_simulations.ablation.run import RunOutcome
from fedehr_simulations.ablation.variants import Variant
from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.probe.probing import ProbedTask
from fedehr_simulations.verdict.machine import Machine, describe_machine, describe_versions
from fedehr_simulations.verdict.result import Count, Part, Text
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName

Setting = str | int | float | bool


class RunFailure(Part):
    """A run without figures."""

    variant: Text
    seed: Count
    reason: Text


class VariantChanges(Part):
    """What makes a variant."""

    name: Text
    changes: dict[str, Setting]
    pooled: bool


class AblationRecord(KeptPart):
    """What an ablation found."""

    format: Literal[1] = 1
    study: StudyName
    machine: Machine
    versions: dict[str, Text]
    masking: dict[str, Setting]
    """The one masking of the masked loss."""
    min_cell: Count
    sites: tuple[SiteSummary, ...]
    variants: tuple[VariantChanges, ...]
    runs: tuple[RunFigures, ...]
    failures: tuple[RunFailure, ...]
    differences: tuple[Difference, ...]
    """AUROC of the probes, each variant against the first that has a finished run."""

    def runs_of(self, variant: str) -> list[RunFigures]:
        """The runs of one variant, seed after seed."""
        return [run for run in self.runs if run.variant == variant]


def build_record(
    study: StudyConfig,
    variants: Sequence[Variant],
    outcomes: Sequence[RunOutcome],
    sites: Sequence[SiteSummary],
) -> AblationRecord:
    """Put the runs together.

    Raises:
        DataError: two runs were measured on different masks, as after a change of the code.
    """
    runs = [outcome.figures for outcome in outcomes if outcome.figures is not None]
    _require_same_masks(runs)
    return AblationRecord(
        study=StudyName(name=study.name, digest=study.digest),
        machine=describe_machine(),
        versions=describe_versions(),
        masking=COMMON.model_dump(mode="json"),
        min_cell=study.vocabulary.min_cell,
        sites=tuple(sites),
        variants=tuple(
            VariantChanges(name=v.name, changes=v.changes, pooled=v.pooled) for v in variants
        ),
        runs=tuple(runs),
        failures=tuple(
            RunFailure(variant=outcome.variant, seed=outcome.seed, reason=outcome.reason)
            for outcome in outcomes
            if outcome.figures is None
        ),
        differences=differences(_probed_of(variants, outcomes), probe_rules(study)),
    )


def _probed_of(
    variants: Sequence[Variant], outcomes: Sequence[RunOutcome]
) -> dict[str, list[tuple[ProbedTask, ...]]]:
    """The finished runs' probes, by variant."""
    found = {
        variant.name: [
            outcome.probed
            for outcome in outcomes
            if outcome.variant == variant.name and outcome.figures is not None
        ]
        for variant in variants
    }
    return {name: runs for name, runs in found.items() if runs}


def _require_same_masks(runs: Sequence[RunFigures]) -> None:
    digests = {run.masks_digest: run for run in runs}
    if len(digests) > 1:
        names = ", ".join(f"{run.variant} (seed {run.seed})" for run in digests.values())
        raise DataError(
            f"these runs were measured on different masks: {names}. The code changed between "
            "them; name another --out, or remove the folders of the older runs."
        )
