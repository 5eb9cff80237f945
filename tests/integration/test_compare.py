"""`fedehr-sim compare`: arms that need no engine, on tiny hospitals, as a program."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.verdict.verdict import Verdict

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
ARMS = ("pooled", "local", "logistic")
FILES = ("verdict.json", "results.csv", "report.html")
TOO_SMALL = "hospital-3"
STUDY = """
name = "tiny"
[vocabulary]
min_sites = 1
[model]
layers = 1
hidden = 16
[pretraining]
rounds = 2
steps_per_round = 2
steps_per_epoch = 2
[finetuning]
tasks = ["death", "coin"]
rounds = 2
steps_per_round = 4
steps_per_epoch = 4
[evaluation]
num_bootstraps = 200
"""


def compare(*arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records") / "sites"
    # The third hospital has 14 subjects, fewer than min_cell of them to train on.
    write_hospitals(folder, HospitalsPlan(num_subjects=200, num_sites=3, seed=3))
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("study") / "study.toml"
    file.write_text(STUDY, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def runs(
    study: Path, sites: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Path, dict[str, Any]]]:
    """The same comparison twice: its folder and what it printed."""
    made = []
    for name in ("first", "second"):
        out = tmp_path_factory.mktemp("runs") / name
        done = compare(
            study, "--sites", sites, "--out", out, "--arms", ",".join(ARMS), "--seeds", 2, "--json"
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        made.append((out, json.loads(done.stdout)))
    return made


def test_the_verdict_is_valid_and_is_what_was_printed(
    runs: list[tuple[Path, dict[str, Any]]],
) -> None:
    out, printed = runs[0]
    verdict = Verdict.read(out / "verdict.json")
    assert json.loads(verdict.to_json()) == printed
    assert tuple(verdict.arms) == ARMS
    assert verdict.comparisons == ()
    assert len(verdict.arms["pooled"].tasks["coin"].per_seed.auroc) == 2
    assert len(verdict.arms["logistic"].tasks["coin"].per_seed.auroc) == 1
    assert len(verdict.arms["pooled"].pretraining_loss) == 2
    assert verdict.arms["pooled"].tasks["coin"].oracle == 0.5
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")


def test_the_same_seeds_give_the_same_figures(runs: list[tuple[Path, dict[str, Any]]]) -> None:
    first, second = (printed for _, printed in runs)
    assert first["arms"] == second["arms"]
    assert first["sites"] == second["sites"]
    seeds = first["arms"]["pooled"]["tasks"]["coin"]["per_seed"]["auroc"]
    assert seeds[0] != seeds[1]


def test_all_arms_are_judged_on_the_same_rows(runs: list[tuple[Path, dict[str, Any]]]) -> None:
    out = runs[0][0]
    keys = ["site", "subject_id", "prediction_time", "death.label", "coin.label"]
    files = sorted(out.glob("*/seed-*/predictions.parquet"))
    assert len(files) == 2 + 2 + 1
    tables = [pq.read_table(file, columns=keys) for file in files]
    assert all(table.equals(tables[0]) for table in tables)
    assert tables[0].num_rows > 0


def test_a_site_too_small_to_train_alone_is_null_with_the_reason(
    runs: list[tuple[Path, dict[str, Any]]],
) -> None:
    tasks = runs[0][1]["arms"]["local"]["tasks"]
    assert tasks["coin"]["per_site"][TOO_SMALL]["auroc"]["value"] is None
    assert "too few subjects to train alone" in tasks["coin"]["per_site"][TOO_SMALL]["reason"]
    assert tasks["coin"]["num"] is not None
    log = runs[0][0] / "local" / "seed-0" / TOO_SMALL / "sites.log"
    assert "too_few_subjects" in log.read_text(encoding="utf-8")


def test_figures_on_too_few_are_withheld(runs: list[tuple[Path, dict[str, Any]]]) -> None:
    out, printed = runs[0]
    rows = pq.read_table(next(out.glob("pooled/seed-0/predictions.parquet"))).to_pylist()
    for arm in printed["arms"].values():
        for task, scores in arm["tasks"].items():
            for site, told in scores["per_site"].items():
                labels = [r[f"{task}.label"] for r in rows if r["site"] == site]
                enough = min(labels.count(0.0), labels.count(1.0)) >= printed["min_cell"]
                assert told["auroc"]["value"] is None or enough, (task, site)


def test_predictions_are_those_the_site_itself_scored(
    runs: list[tuple[Path, dict[str, Any]]],
) -> None:
    out, printed = runs[0]
    site = "hospital-1"
    told = json.loads((out / f"local/seed-0/{site}/runs/local/evaluation.json").read_text())
    own = told["coin"]["per_site"][site]
    assert own["auroc"]["value"] is not None
    rows = pq.read_table(out / "local/seed-0/predictions.parquet").to_pylist()
    pairs = [(r["coin.label"], r["coin.probability"]) for r in rows if r["site"] == site]
    from sklearn.metrics import roc_auc_score

    # The site tells it in steps that count no one (told_values.py).
    exact = roc_auc_score(*zip(*pairs, strict=True))
    assert own["auroc"]["value"] == pytest.approx(exact, abs=0.01)
    seeds = printed["arms"]["local"]["tasks"]["coin"]["per_site"][site]["auroc"]
    assert seeds["low"] <= seeds["value"] <= seeds["high"]
    # The site tells its counts in multiples of min_cell; the researcher's own table is exact.
    assert own["num"] % printed["min_cell"] == 0
    assert own["num"] <= len(pairs)


def test_only_the_owner_reads_the_run_and_no_scratch_stays(
    runs: list[tuple[Path, dict[str, Any]]],
) -> None:
    out = runs[0][0]
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {path.name for path in out.iterdir()} == {*ARMS, *FILES}
    assert not list(out.rglob("tokens*"))
    for file in [*out.rglob("predictions.parquet"), out / "results.csv"]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "options", "refusal"),
    [
        (STUDY, ("--arms", "pooled,best"), (2, "'best' is not one of them")),
        (STUDY, ("--arms", "pooled,pooled"), (2, "at most once")),
        (STUDY, ("--arms", ","), (2, "at most once")),
        (STUDY, ("--seeds", "0"), (2, "--seeds 0")),
        (STUDY + "[masking]\nrato = 1\n", (), (3, "masking.rato")),
        (
            STUDY.replace('"coin"', '"stroke"'),
            (),
            (4, "no site has labels for task 'stroke'"),
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    text: str, options: tuple[str, ...], refusal: tuple[int, str], sites: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "study.toml", tmp_path / "out"
    file.write_text(text, encoding="utf-8")
    refused = compare(file, "--sites", sites, "--out", out, *options)
    assert refused.returncode == refusal[0], refused.stderr
    assert refusal[1] in refused.stderr
    assert not out.exists()


def test_an_existing_folder_is_kept(study: Path, sites: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    refused = compare(study, "--sites", sites, "--out", tmp_path)
    assert refused.returncode == 4
    assert "exists already" in refused.stderr
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "mine"
