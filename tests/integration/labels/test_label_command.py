"""`fedehr-client label` as a program: all labels or none, and nothing of a record on screen."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import meds
import pyarrow.parquet as pq
import pytest

from fedehr_shared.meds.folder import SiteFolder

LEAKING = """
name = "leaking"
description = "an outcome that the input may show"
[index]
codes = "HOSPITAL_ADMISSION.*"
gap_hours = 24
[outcome]
codes = "SEPSIS"
until_end_of = "hospital_stay"
"""
SECRET = 918_273_645


def run(*arguments: str | Path, expected: int = 0) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("fedehr-client")
    done = subprocess.run(
        [str(program), "label", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr
    assert str(SECRET) not in done.stdout + done.stderr
    return done


@pytest.fixture
def site(make_site: Any, tmp_path: Path) -> SiteFolder:
    rows = []
    for subject in [*range(1, 30), SECRET]:
        end = 30.0 + subject % 11 * 24
        rows += [(subject, 0.0, "HOSPITAL_ADMISSION//x", subject),
                 (subject, end, "HOSPITAL_DISCHARGE//home", subject)]  # fmt: skip
        if subject % 7 == 1 or subject == SECRET:
            rows.append((subject, 12.0, "SEPSIS", subject))
        if subject % 5 == 1:
            rows.append((subject, end, "MEDS_DEATH", subject))
    made = make_site(rows, name="one")
    shutil.copytree(made.path, tmp_path / "sites" / "one")
    return SiteFolder(tmp_path / "sites" / "one")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_labels_are_made_listed_and_kept(site: SiteFolder) -> None:
    made = json.loads(
        run("make", site.path, "in_hospital_death", "stay_over_3_days", "--json").stdout
    )
    assert [each["task"] for each in made] == ["in_hospital_death", "stay_over_3_days"]
    for each in made:
        assert each["num_index_events"] == each["num"] + sum(each["left_out"].values()) == 30
        assert not each["leakage"]["is_leaking"]
        table = pq.read_table(site.labels_file(each["task"]))
        meds.LabelSchema.validate(table)
        assert table.num_rows == each["num"]
        assert sum(table.column("boolean_value").to_pylist()) == each["num_positive"] > 0
        about = site.path / "labels" / f"{each['task']}.toml"
        assert tomllib.loads(about.read_text())["name"] == each["task"]
    listed = json.loads(run("list", site.path, "--json").stdout)["one"]
    assert [(each["task"], each["source"], each["num"]) for each in listed] == [
        (each["task"], "task", each["num"]) for each in made
    ]
    before = _files(site.path)
    refused = run("make", site.path, "stay_over_7_days", "in_hospital_death", expected=4)
    assert "--replace" in refused.stderr
    assert _files(site.path) == before
    run("make", site.path, "in_hospital_death", "--replace")
    assert _files(site.path) == before


def test_a_federation_folder_means_every_site(site: SiteFolder) -> None:
    shutil.copytree(site.path, site.path.parent / "two")
    shown = run("make", site.path.parent, "in_hospital_death").stdout
    assert "of them positive" in shown
    listed = json.loads(run("list", site.path.parent, "--json").stdout)
    assert set(listed) == {"one", "two"}
    assert listed["one"] == listed["two"] != []


def test_a_leaking_task_is_refused_and_so_are_those_beside_it(
    site: SiteFolder, tmp_path: Path
) -> None:
    file = tmp_path / "leaking.toml"
    file.write_text(LEAKING)
    before = _files(site.path)
    refused = run("make", site.path, "in_hospital_death", file, expected=4)
    assert "can be read in its input" in refused.stderr
    assert "--allow-leak" in refused.stderr
    assert _files(site.path) == before
    reason = "sepsis by the first day\nis meant"
    shown = run("make", site.path, file, "--allow-leak", reason)
    assert "LEAKS" in shown.stdout
    text = (site.path / "labels" / "leaking.toml").read_text()
    assert "sepsis by the first day is meant" in text.splitlines()[0]
    assert tomllib.loads(text)["name"] == "leaking"


def test_a_file_of_labels_comes_in_whole_or_not_at_all(site: SiteFolder, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    good = "".join(f"{s},2020-01-02,{s % 2}\n" for s in range(1, 30))
    file.write_text(f"subject_id,prediction_time,value\n{good}{SECRET},x,1\n")
    before = _files(site.path)
    options = ("--task", "sepsis", "--kind", "binary")
    refused = run("import", site.path, file, *options, expected=4)
    assert "bad_time 1 (row 30)" in refused.stderr
    assert _files(site.path) == before
    told = json.loads(
        run("import", site.path, file, *options, "--max-bad-share", 0.1, "--json").stdout
    )
    assert told["num"] == 29
    assert told["bad_rows"]["bad_time"] == {"num": 1, "rows": [30]}
    listed = json.loads(run("list", site.path, "--json").stdout)["one"]
    assert [(each["task"], each["source"]) for each in listed] == [("sepsis", "file")]
    for name in ("../sepsis", "Sepsis", ""):
        run("import", site.path, file, "--task", name, "--kind", "binary", expected=3)
    run("import", site.path.parent / "none", file, *options, expected=4)
    assert sorted(f.name for f in (site.path / "labels").iterdir()) == [
        "sepsis.parquet", "sepsis.toml",
    ]  # fmt: skip


def test_killed_at_any_moment_no_label_file_is_half_written(site: SiteFolder) -> None:
    program = Path(sys.executable).with_name("fedehr-client")
    command = [str(program), "label", "make", str(site.path), "in_hospital_death", "--replace"]
    run("make", site.path, "in_hospital_death")
    whole = _files(site.path)
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - began
    for part in (0.5, 0.7, 0.8, 0.9, 0.95):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds * part)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = {name: data for name, data in _files(site.path).items() if "/.labels-" not in name}
        assert found == whole
    run("make", site.path, "in_hospital_death", "--replace")
    assert _files(site.path) == whole


def test_tasks_are_listed_and_shown() -> None:
    listed = json.loads(run("tasks", "--json").stdout)
    assert "icu_death" in {task["name"] for task in listed}
    assert tomllib.loads(run("tasks", "--show", "icu_death").stdout)["name"] == "icu_death"
    run("tasks", "--show", "unheard_of", expected=3)


def test_too_little_memory_and_a_wrong_size_are_refused(site: SiteFolder) -> None:
    for size in ("10MB", "much", "-1GB"):
        run("make", site.path, "in_hospital_death", "--memory-limit", size, expected=2)
    assert not list((site.path / "labels").iterdir())
