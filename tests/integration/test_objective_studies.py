"""Whole studies with each objective: what travels in pre-training, and what tuning starts from."""

from typing import Any

import numpy as np
import pytest

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.wire.codec.rounding import rounded

SMALL = {"rounds": 1, "steps_per_round": 2}


OBJECTIVES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "masked_autoencoder_and_views": (
        {"kind": "masked_autoencoder", "contrastive_weight": 0.5, "contrastive_group": 4},
        {"output_bias", "naming", "contrastive"},
    ),
    "contrastive": ({"kind": "contrastive"}, {"contrastive"}),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_what_the_objective_trains_travels_in_pretraining_alone(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Any, kind: str
) -> None:
    objective, beside_the_encoder = OBJECTIVES[kind]
    study = make_study(
        objective=objective, pretraining=SMALL, finetuning={**SMALL, "tuning": "probe"}
    )
    done = run_study_in_process(study, hospitals.sites, tmp_path)
    checkpoints = CheckpointFolder(done.folder / "checkpoints")
    pretrained = load_weights(checkpoints.latest("pretraining"))
    tuned = load_weights(checkpoints.latest("finetuning"))
    assert {name.split(".")[0] for name in pretrained} == {"encoder", *beside_the_encoder}
    assert {name.split(".")[0] for name in tuned} == {"encoder", "heads", "wide"}
    encoder = [name for name in pretrained if name.startswith("encoder.")]
    assert encoder == [name for name in tuned if name.startswith("encoder.")]
    # Nothing of it was trained; it went to the sites once, as the wire rounds it.
    wire = rounded(pretrained, study.exchange.state_dtype)
    assert all(np.array_equal(wire[name], tuned[name]) for name in encoder)
    again = run_study_in_process(study, hospitals.sites, tmp_path / "again")
    assert {n: a.tobytes() for n, a in again.latest_weights.items()} == {
        n: a.tobytes() for n, a in tuned.items()
    }
