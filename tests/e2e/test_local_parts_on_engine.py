"""Heads of each site's own on the simulation engine: the run keeps them when its sites are gone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_simulations.engine import run_simulation
from fedehr_simulations.outcome.finished_run import predict_held_out
from fedehr_simulations.outcome.held_out import read_held_out
from fedehr_simulations.outcome.predictions import align

pytestmark = [pytest.mark.e2e, pytest.mark.long]


def test_predictions_after_a_simulation_are_those_that_the_sites_told_of(
    make_study: Any, hospitals: Any, tmp_path: Path
) -> None:
    study = make_study(
        vocabulary={"min_cell": 11},
        pretraining={"rounds": 0},
        finetuning={"tasks": ["death"], "local_parts": ["heads"], "learning_rate": 0.05},
    )
    result = run_simulation(study, hospitals.path, tmp_path / "out", "local", num_actors=1)
    run = tmp_path / "out" / "runs" / "local"
    kept = {file.parent.parent.parent.name for file in (run / "sites").rglob("*.safetensors")}
    assert kept == set(result["sites"])
    held_out = read_held_out(hospitals.sites, study.tasks_by_name, study.cohort)
    told = {
        site.name: predict_held_out(study, run, site, tmp_path / "scratch", records=site)
        for site in hospitals.sites
    }
    scores = align(held_out, told)[:, 0]
    evaluation = json.loads((run / "evaluation.json").read_text())["death"]["per_site"]
    compared = 0
    for name, metrics in evaluation.items():
        if metrics.get("auroc"):
            own = held_out.sites == name
            labels = held_out.labels[own, 0] == 1
            pairs = scores[own][labels][:, None] - scores[own][~labels]
            auroc = np.mean((pairs > 0) + 0.5 * (pairs == 0))
            assert metrics["auroc"]["value"] == pytest.approx(auroc, abs=0.01)
            compared += 1
    assert compared >= 1
