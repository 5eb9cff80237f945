"""`Exchanged`: what a site sends and receives in a round of fine-tuning, from a run's record."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from fedehr_simulations.verdict.result import Count, Finite, Part

_PHASE = "finetuning"


class Exchanged(Part):
    """Bytes a site, means over sites; payload without framing."""

    up_per_round: Count
    """Of one answer, the mean over rounds."""
    down_per_round: Count
    """Of one request, the mean over the rounds after the first, with which the vocabulary goes;
    without what is sent once."""
    base: Count
    """Of what no round trains, sent once."""

    @classmethod
    def of(cls, result: Mapping[str, Any], num_sites: int) -> "Exchanged":
        """From `result.json`."""
        rounds = [one for one in result["bytes"]["per_round"] if one["phase"] == _PHASE]
        later = rounds[1:] or rounds
        return cls(
            up_per_round=round(fmean(one["up"] for one in rounds) / num_sites),
            down_per_round=round(fmean(one["down"] - one["base"] for one in later) / num_sites),
            base=round(sum(one["base"] for one in rounds) / num_sites),
        )


def aggregation_error(run_folder: Path) -> Finite | None:
    """Mean over rounds of what averaging adapters lost of the ideal update, as a share of it; None
    where there are no adapters to average."""
    with (run_folder / "progress.jsonl").open(encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    told = [event.get("aggregation_error") for event in events if event.get("phase") == _PHASE]
    known = [error for error in told if error is not None]
    return fmean(known) if known else None
