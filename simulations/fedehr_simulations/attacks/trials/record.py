"""`AttackRecord`: what the attacks found, and the file `attacks.json`."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedehr_simulations.private_file import replacing
from fedehr_simulations.verdict.machine import Machine
from fedehr_simulations.verdict.membership import MembershipAttack
from fedehr_simulations.verdict.result import Count, Finite, Part, Share, Text

RECORD_FILE = "attacks.json"
Epsilon = Annotated[Finite, Field(gt=0)]


class MembershipResult(Part):
    """Attacks on a model fine-tuned with all of its noise, or with none."""

    target_epsilon: Epsilon | None
    auroc_least: Share | None
    """Of the first task on held-out subjects, pooled; null where it is withheld."""
    auroc_greatest: Share | None
    attacks: tuple[MembershipAttack, ...]


class CanaryResult(Part):
    """Exposure of planted canaries in a pre-trained model, in bits."""

    target_epsilon: Epsilon | None
    num_references: Count
    exposures: tuple[Finite, ...]
    auroc: Share
    """Of canaries against references, by the loss."""


class InversionResult(Part):
    """What one step gives away of one subject's codes."""

    shown: Text
    num_subjects: Count
    target_epsilon: Epsilon | None
    method: Text
    precision: Share
    recall: Share


class AuditResult(Part):
    """The epsilon that the real mechanism shows, from below, beside the claimed one."""

    mechanism: Text
    delta: Share
    num_trials: Count
    shown: Finite
    claimed: Finite


class AttackRecord(Part):
    """Everything, with where it comes from."""

    format: Annotated[int, Field(ge=1, le=1)] = 1
    commit: Text
    machine: Machine
    versions: dict[str, Text]
    seconds: Finite
    num_subjects: Count
    num_shadows: Count
    delta: Share
    membership: tuple[MembershipResult, ...]
    canaries: tuple[CanaryResult, ...]
    inversion: tuple[InversionResult, ...]
    audit: tuple[AuditResult, ...]

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"
        with replacing(path) as file:
            file.write(text.encode())
