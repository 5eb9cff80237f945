"""A whole study's evaluation: agrees with the records, is printed, and refuses other files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def calibrated(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> Any:
    study = make_study(
        vocabulary={"min_cell": 2},
        evaluation={"calibration": "temperature", "age_bands_years": [40, 65]},
    )
    folder = tmp_path_factory.mktemp("calibrated")
    return run_study_in_process(study, hospitals.sites, folder)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from fedehr_server.cli.main import run; run()", "evaluation"]
    return subprocess.run([*program, *words], capture_output=True, text=True, check=False)


def test_the_command_prints_what_the_run_holds(calibrated: Any) -> None:
    file = calibrated.folder / "evaluation.json"
    as_json = _run(str(calibrated.folder), "--json")
    assert as_json.returncode == 0
    assert json.loads(as_json.stdout) == json.loads(file.read_text())
    told = _run(str(file))
    assert told.returncode == 0
    for word in ("death", "long_stay", "hospital-1", "pooled", "(worst)", "withheld", "subgroups"):
        assert word in told.stdout, word


def test_subgroups_and_thresholds_stand_in_the_file(calibrated: Any) -> None:
    evaluation = json.loads((calibrated.folder / "evaluation.json").read_text())
    site = evaluation["death"]["per_site"]["hospital-1"]
    assert set(site["subgroups"]["sex"]) == {"female", "male", "another", "unknown"}
    assert set(site["subgroups"]["age"]) == {"below 40", "40 to 65", "65 up", "unknown"}
    told = [g for g in site["subgroups"]["sex"].values() if "num" in g]
    assert told
    assert sum(group["num"] for group in told) <= site["num"]
    assert [line["at"] for line in site["thresholds"]] == [0.1, 0.2, 0.5]
    for line in [*site["thresholds"], *evaluation["death"]["pooled"]["thresholds"]]:
        for name in ("sensitivity", "specificity", "ppv"):
            value = line[name]
            assert value["value"] is None or 0 <= value["least"] <= value["greatest"] <= 1
    pooled = evaluation["death"]["pooled"]
    numbers = [s for s in evaluation["death"]["per_site"].values() if "num" in s]
    assert pooled["num"] == sum(one["num"] for one in numbers)
    brier = np.average(
        [one["brier"]["value"] for one in numbers], weights=[o["num"] for o in numbers]
    )
    assert pooled["brier"]["least"] <= brier <= pooled["brier"]["greatest"]
    assert set(evaluation["death"]["calibration"]) == set(evaluation["death"]["per_site"])


DAMAGED = [
    '{"death": {"per_site": {"north": {}}}}',
    '{"death": {"per_site": {"north": {"num": 5, "auroc": 3}}}}',
    '{"death": {"per_site": {}, "pooled": []}}',
]


@pytest.mark.parametrize("content", [None, "", "[]", '{"death": 3}', '{"death": {}}', *DAMAGED])
def test_another_file_is_refused_with_words(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "evaluation.json"
    if content is not None:
        file.write_text(content)
    refused = _run(str(tmp_path))
    assert refused.returncode == 4
    assert "error:" in refused.stderr
    assert "Traceback" not in refused.stderr
