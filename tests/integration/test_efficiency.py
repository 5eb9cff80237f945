"""`fedehr-sim efficiency`: as a program, killed in the middle, and what it may not look at."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING
from fedehr_simulations.efficiency.candidates import study_of_labels
from fedehr_simulations.efficiency.draws import LabelDraws, labelled_subjects
from fedehr_simulations.efficiency.linked_sites import link_unseen, link_with_labels
from fedehr_simulations.efficiency.request import CURVE_ARMS, EfficiencyRequest
from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.tuning_trials.scores import read_scores

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
UNSEEN = "hospital-2"
STUDY = """
name = "tiny"
[vocabulary]
min_sites = 1
min_cell = 5
[model]
layers = 1
hidden = 16
[pretraining]
rounds = 1
steps_per_round = 2
steps_per_epoch = 2
[finetuning]
tasks = ["death"]
rounds = 1
steps_per_round = 2
[evaluation]
num_bootstraps = 100
"""
MEASURED_ANEW = ("cpu_seconds", "commit")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("efficiency")
    write_hospitals(folder / "sites", HospitalsPlan(num_subjects=300, num_sites=3, seed=1))
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder


def _command(files: Path, sites: str, out: Path, *more: str, labels: str = "20,all") -> list[str]:
    return [
        str(PROGRAM), "efficiency", str(files / "study.toml"), "--sites", str(files / sites),
        "--out", str(out), "--seeds", "1", "--labels", labels, "--held-out-site", UNSEEN,
        "--actors", "1", *more,
    ]  # fmt: skip


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def finished(files: Path) -> tuple[Path, dict[str, Any]]:
    """The measurement from its first to its last run, and the JSON that it printed."""
    out = files / "whole"
    page = files / "page.md"
    done = _run(_command(files, "sites", out, "--json", "--markdown", str(page)))
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


@pytest.mark.long
def test_what_was_found_is_printed_and_kept(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out, record = finished
    assert json.loads((out / "efficiency.json").read_text()) == record
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert not (out / ".work").exists()
    cells = {(p["place"], p["num_labels"], p["arm"]) for p in record["points"]}
    assert cells == {
        (p, n, a) for p in ("federation", "unseen") for n in (20, None) for a in CURVE_ARMS
    }
    assert {gain["reference"] for gain in record["gains"]} == {*CURVE_ARMS[1:], "best bag"}
    assert record["sites"] == ["hospital-1", "hospital-3"]
    assert record["labels"][0]["per_site"] == {"hospital-1": 10, "hospital-3": 10}
    for point in record["points"]:
        assert point["auroc"]["low"] <= point["auroc"]["value"] <= point["auroc"]["high"]
    page = (files / "page.md").read_text()
    assert "Pre-trained against best bag" in page
    assert page.count("| death, 20 |") == 6


@pytest.mark.long
def test_the_gain_is_the_difference_of_the_points(finished: tuple[Path, dict[str, Any]]) -> None:
    _, record = finished
    told = {(p["place"], p["num_labels"], p["arm"]): p["auroc"]["value"] for p in record["points"]}
    for gain in record["gains"]:
        place, num, name = gain["place"], gain["num_labels"], gain["reference"]
        others = ("logistic", "boosting") if name == "best bag" else (name,)
        reference = max(told[place, num, other] for other in others)
        ours = told[place, num, "pretrained"]
        assert gain["auroc_points"]["value"] == pytest.approx(100 * (ours - reference))
        assert gain["auroc_percent"]["value"] == pytest.approx(100 * (ours / reference - 1))


@pytest.mark.long
def test_every_subject_of_the_site_that_took_no_part_is_scored(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    _, record = finished
    unseen = SiteFolder(files / "sites" / UNSEEN)
    assert record["num_scored"]["unseen"] == len(read_splits(unseen))


@pytest.mark.long
def test_a_site_s_own_model_learns_from_its_own_labels_alone(files: Path) -> None:
    """Turning the other site's labels round changes what all learn together, and not what it
    learns by itself."""
    shutil.copytree(files / "sites", files / "others")
    site = SiteFolder(files / "others" / "hospital-3")
    table = pq.read_table(site.labels_file("death"))
    flipped = _flip(table, read_splits(site), {TRAIN, TUNING})
    pq.write_table(flipped, site.labels_file("death"))
    told = {}
    for sites in ("sites", "others"):
        out = files / f"own-{sites}"
        command = _command(files, sites, out, "--arms", "pretrained,own_labels", labels="20")
        done = _run([*command, "--json"])
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert {point["arm"] for point in record["points"]} == {"pretrained"}
        told[sites] = {gain["site"]: gain for gain in record["own_labels"]}
        assert set(told[sites]) == {"hospital-1", ""}
        own = out / "own_labels" / "seed-0" / "20" / "hospital-1"
        assert json.loads((own / "figures.json").read_text())["site"] == "hospital-1"
        scores = read_scores(own / "federation.npz")
        assert told[sites]["hospital-1"]["own"]["value"] == scores.auroc(1)["death"]
    one, other = (told[sites]["hospital-1"] for sites in ("sites", "others"))
    assert one["own"] == other["own"]
    assert one["federated"] != other["federated"]
    points = one["federated"]["value"] - one["own"]["value"]
    assert one["auroc_points"]["value"] == pytest.approx(100 * points)


def _flip(table: pa.Table, splits: dict[int, str], flipped: set[str]) -> pa.Table:
    """Every label of some splits turned into its opposite."""
    subjects = table.column("subject_id").to_pylist()
    values = table.column("boolean_value").to_pylist()
    new = [v != (splits[s] in flipped) for s, v in zip(subjects, values, strict=True)]
    return table.set_column(2, table.schema.field("boolean_value"), pa.array(new))


@pytest.mark.long
def test_no_label_of_who_is_scored_changes_a_score(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out, _ = finished
    shutil.copytree(files / "sites", files / "flipped")
    for site in FederationFolder(files / "flipped").sites:
        flipped = {TRAIN, TUNING, HELD_OUT} if site.name == UNSEEN else {HELD_OUT}
        table = pq.read_table(site.labels_file("death"))
        pq.write_table(_flip(table, read_splits(site), flipped), site.labels_file("death"))
    done = _run(_command(files, "flipped", files / "other", labels="20"))
    assert done.returncode == 0, done.stderr
    scored = sorted(out.glob("*/seed-0/20/*.npz"))
    # Two sites together, each of them, and the one that took no part.
    assert len(scored) == 4 * len(CURVE_ARMS)
    for file in scored:
        ours, theirs = read_scores(file), read_scores(files / "other" / file.relative_to(out))
        assert np.array_equal(ours.probabilities, theirs.probabilities), file
        assert not np.array_equal(ours.labels, theirs.labels)


@pytest.mark.long
def test_a_killed_measurement_goes_on_to_the_same_figures(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out = files / "killed"
    arms = ["pretrained", "scratch"]
    command = _command(files, "sites", out, "--arms", ",".join(arms), labels="20")
    first = out / "pretrained" / "seed-0" / "20" / "figures.json"
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 200
        while not (first.exists() and (out / "scratch").exists()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "efficiency.json").exists()
    kept = first.stat()
    done = _run([*command, "--json"])
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == kept.st_mtime_ns
    assert "pre-training" not in done.stderr
    again, whole = json.loads(done.stdout), finished[1]
    assert [run["arm"] for run in again["runs"]] == arms
    for part in ("runs", "points"):
        same = [t for t in whole[part] if t["num_labels"] == 20 and t["arm"] in arms]
        assert _repeatable(again[part]) == _repeatable(same)


def _repeatable(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in one.items() if k not in MEASURED_ANEW} for one in told]


@pytest.mark.long
def test_a_folder_of_another_study_is_refused(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out, _ = finished
    changed = files / "changed"
    changed.mkdir()
    (changed / "study.toml").write_text(STUDY.replace("rounds = 1\nsteps_per_round = 2\n[eval",
                                        "rounds = 2\nsteps_per_round = 2\n[eval"))  # fmt: skip
    shutil.copytree(files / "sites", changed / "sites", symlinks=True)
    done = _run(_command(changed, "sites", out))
    assert done.returncode == 4
    assert "another study" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cut_federation_holds_the_drawn_labels_and_no_other(files: Path, tmp_path: Path) -> None:
    study = StudyConfig.load(files / "study.toml")
    sites = FederationFolder(files / "sites").sites
    draws = LabelDraws.of({site.name: labelled_subjects(study, site) for site in sites}, 7)
    kept = draws.first(30)
    for site in link_with_labels(tmp_path / "cut", sites, ("death",), kept):
        assert site.tasks == ["death"]
        table = pq.read_table(site.labels_file("death"))
        assert set(table.column("subject_id").to_pylist()) == kept[site.name]
        splits = read_splits(site)
        assert {splits[subject] for subject in kept[site.name]} == {TRAIN, TUNING}
        original = SiteFolder(files / "sites" / site.name)
        assert [f.samefile(g) for f, g in zip(site.data_files, original.data_files, strict=True)]


def test_an_unseen_site_has_no_subject_to_learn_from(files: Path, tmp_path: Path) -> None:
    site = SiteFolder(files / "sites" / UNSEEN)
    linked = link_unseen(tmp_path, site)
    assert set(read_splits(linked).values()) == {HELD_OUT}
    assert read_splits(linked).keys() == read_splits(site).keys()
    assert set(read_splits(site).values()) == {TRAIN, TUNING, HELD_OUT}


def test_few_labels_make_batches_of_min_cell_subjects(files: Path) -> None:
    study = StudyConfig.load(files / "study.toml")
    assert study_of_labels(study, num_sites=2, fewest=10).finetuning.steps_per_epoch == 2
    assert study_of_labels(study, num_sites=2, fewest=9).finetuning.steps_per_epoch == 1
    assert study_of_labels(study, num_sites=2, fewest=9_999).finetuning.steps_per_epoch == 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arms": ("pretrained", "magic")}, "'magic' is not one of them"),
        ({"arms": ("scratch", "scratch")}, "at most once"),
        ({"held_out_site": "nowhere"}, "the sites are hospital-1"),
        ({"arms": ("scratch", "own_labels")}, "told against pretrained"),
        ({"labels_at": UNSEEN, "held_out_site": UNSEEN}, "name all or one of"),
        ({"label_numbers": (0,)}, "from 1 up"),
        ({"num_seeds": 0}, "choose 1 or more"),
    ],
)
def test_a_wrong_option_is_named(
    files: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        _request(files, tmp_path, **changes).check()


def test_a_draw_that_leaves_a_site_below_the_cell_is_refused(files: Path, tmp_path: Path) -> None:
    request = _request(files, tmp_path, label_numbers=(13,))
    with pytest.raises(DataError, match="leave one of them 4 to train on"):
        request.label_sets(*request.check())
    alone = _request(files, tmp_path, label_numbers=(13,), labels_at="hospital-1")
    sets = alone.label_sets(*alone.check())
    assert dict(sets[0, 13].num_train) == {"hospital-1": 13}


def test_a_draw_of_which_no_site_may_tell_is_refused_beforehand(
    files: Path, tmp_path: Path
) -> None:
    """Half of the coin's labels are heads: of five labels hardly ever all are alike."""
    tossed = STUDY.replace('tasks = ["death"]', 'tasks = ["coin"]')
    (tmp_path / "study.toml").write_text(tossed, encoding="utf-8")
    study = StudyConfig.load(tmp_path / "study.toml").with_seed(1)
    options = {"study": study, "held_out_site": UNSEEN}
    request = _request(files, tmp_path, label_numbers=(10,), **options)
    with pytest.raises(DataError, match="10 labels, seed 1: no site has min_cell = 5 of one"):
        request.label_sets(*request.check())
    enough = _request(files, tmp_path, label_numbers=(20,), **options)
    assert enough.label_sets(*enough.check())


def _request(files: Path, out: Path, **changes: Any) -> EfficiencyRequest:
    options: dict[str, Any] = {
        "label_numbers": (20, None),
        "arms": CURVE_ARMS,
        "num_seeds": 1,
        "held_out_site": "",
        "labels_at": "all",
        "study": StudyConfig.load(files / "study.toml"),
    }
    return EfficiencyRequest(federation=files / "sites", **(options | changes), out=out)
