"""What the engine is given and what it reads back."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_server.bundle import bundle_file, copy_bundle
from fedehr_shared import errors
from fedehr_shared.config import StudyConfig
from fedehr_shared.errors import (
    ConfigError,
    DataError,
    FedehrError,
    MissingTaskError,
    TrainingError,
)
from fedehr_simulations.cli.live_progress import describe_event
from fedehr_simulations.engine.environment import engine_environment
from fedehr_simulations.engine.outcome import read_result
from fedehr_simulations.engine.plan import EnginePlan
from fedehr_simulations.engine.progress import ProgressFile
from fedehr_simulations.engine.request import check_request
from fedehr_simulations.engine.superlink import run_config

PLAN = EnginePlan(
    bundle_file="/b",
    coordinator_folder="/c",
    sites_folder="/s",
    result_file="/r",
    log_file="/l",
    run_config={"study": "ab", "run": "one", "num-sites": 3},
    num_sites=3,
    num_actors=2,
    num_threads=4,
    private_network=True,
)


def make_site(folder: Path, *tasks: str) -> None:
    for part in (
        "data/0.parquet",
        "metadata/codes.parquet",
        *(f"labels/{t}.parquet" for t in tasks),
    ):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).touch()


def make_study(*tasks: str, min_sites: int = 2) -> StudyConfig:
    return StudyConfig.model_validate(
        {"name": "s", "finetuning": {"tasks": tasks}, "federation": {"min_sites": min_sites}}
    )


def make_environment(inherited: dict[str, str]) -> dict[str, str]:
    return engine_environment(
        PLAN, private=Path("/tmp/fedehr-x"), work=Path("/tmp/w"), inherited=inherited
    )


def test_a_plan_survives_its_line_of_json() -> None:
    assert EnginePlan.from_json(PLAN.to_json().encode() + b"\n") == PLAN
    assert "\n" not in PLAN.to_json()


def test_nothing_of_a_persons_own_ray_flower_or_proxy_reaches_the_engine() -> None:
    foreign = {
        "RAY_ADDRESS": "ray://cluster:10001", "RAY_NAMESPACE": "mine", "FLWR_HOME": "/home/me",
        "FLWR_TELEMETRY_ENABLED": "1", "FEDEHR_SITE_FILE": "/real/site.toml",
        "HTTPS_PROXY": "http://proxy", "http_proxy": "http://proxy", "LANG": "C", "PATH": "/bin",
    }  # fmt: skip
    made = make_environment(foreign)
    assert made["RAY_ADDRESS"] == "local"
    assert made["FLWR_HOME"].startswith("/tmp/fedehr-x/")
    assert made["FLWR_TELEMETRY_ENABLED"] == "0"
    assert made["LANG"] == "C"
    gone = {"RAY_NAMESPACE", "FEDEHR_SITE_FILE", "HTTPS_PROXY", "http_proxy"}
    assert gone.isdisjoint(made)
    assert made["FEDEHR_NUM_THREADS"] == made["OMP_NUM_THREADS"] == "4"
    assert make_environment(foreign)["RAY_AUTH_TOKEN"] != made["RAY_AUTH_TOKEN"]


def test_what_the_sites_allow_reaches_them() -> None:
    ceilings = '{"subject_epsilon": 2.0}'
    made = make_environment({"FEDEHR_CEILINGS": ceilings, "FEDEHR_MIN_CELL": "20"})
    assert (made["FEDEHR_CEILINGS"], made["FEDEHR_MIN_CELL"]) == (ceilings, "20")


@pytest.mark.parametrize("wrong", ["nonsense", '{"subject_epsilonn": 2.0}', '{"min_cell": 0}'])
def test_wrong_ceilings_are_refused_before_anything_starts(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDEHR_CEILINGS", wrong)
    with pytest.raises(ConfigError, match="FEDEHR_CEILINGS"):
        check_request(make_study("death"), tmp_path)


def test_a_relative_python_path_still_points_where_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = make_environment({"PYTHONPATH": "apps:/abs"})
    assert made["PYTHONPATH"] == f"{tmp_path}/apps:/abs"


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True),
        st.integers(0, 9999) | st.text(st.characters(codec="ascii", exclude_categories=["Cc"])),
        min_size=1,
    )
)
def test_run_config_is_toml_with_the_same_values(values: dict[str, str | int]) -> None:
    read = {}
    for key, value in values.items():
        read |= tomllib.loads(run_config({key: value}))
    assert read == values


def test_progress_is_read_line_by_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    progress = ProgressFile(file)
    assert progress.read() == []
    file.write_text('{"round": 1}\n{"rou')
    assert progress.read() == [{"round": 1}]
    assert progress.read() == []
    with file.open("a") as target:
        target.write('nd": 2}\n{"round": 3}\n')
    assert progress.read() == [{"round": 2}, {"round": 3}]


def test_each_error_class_comes_back_from_its_result(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, FedehrError)]
    assert TrainingError in kinds
    for kind in kinds:
        result = {"status": "failed", "code": kind.code, "exit_code": kind.exit_code,
                  "message": "what failed"}  # fmt: skip
        file.write_text(json.dumps(result))
        with pytest.raises(FedehrError, match=r"what failed .*engine\.log") as caught:
            read_result(file, tmp_path / "engine.log")
        assert type(caught.value) is kind
        file.write_text(json.dumps(result | {"code": "of another version"}))
        with pytest.raises(FedehrError) as caught:
            read_result(file, tmp_path / "engine.log")
        assert caught.value.exit_code == kind.exit_code


def test_a_completed_result_comes_back_whole(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text('{"status": "completed", "sites": ["a"]}')
    assert read_result(file, tmp_path / "log") == {"status": "completed", "sites": ["a"]}


def test_a_request_is_checked_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no federation folder"):
        check_request(make_study("death"), tmp_path / "missing")
    make_site(tmp_path / "north", "death", "stay")
    with pytest.raises(DataError, match=r"holds 1 site.*wants 2"):
        check_request(make_study("death"), tmp_path)
    make_site(tmp_path / "east", "death")
    names = [site.name for site in check_request(make_study("death"), tmp_path)]
    assert names == ["east", "north"]
    assert len(check_request(make_study("death", "stay"), tmp_path)) == 2
    with pytest.raises(MissingTaskError, match=r"site 'east'.*\['stay'\]"):
        check_request(make_study("stay"), tmp_path)
    with pytest.raises(MissingTaskError, match=r"no site has labels for task 'sepsis'"):
        check_request(make_study("death", "sepsis"), tmp_path)
    (tmp_path / "north/data/0.parquet").unlink()
    with pytest.raises(DataError, match=r"north holds no data"):
        check_request(make_study("death"), tmp_path)


def test_the_bundle_is_one_file_that_names_both_apps(tmp_path: Path) -> None:
    folder = copy_bundle(tmp_path / "bundle")
    assert [path.name for path in folder.iterdir()] == ["pyproject.toml"]
    content = tomllib.loads(bundle_file().read_text())
    components = content["tool"]["flwr"]["app"]["components"]
    assert components == {
        "serverapp": "fedehr_server.app:app",
        "clientapp": "fedehr_client.app:app",
    }
    assert set(content["tool"]["flwr"]["app"]["config"]) == set(PLAN.run_config)


def test_an_event_in_words_names_phase_round_loss_score_and_bytes() -> None:
    text = describe_event(
        {"event": "round", "phase": "finetuning", "round": 2, "num_rounds": 4, "num_answers": 3,
         "loss": 0.5, "auroc": {"death": 0.75, "stay": None}},
        2_500_000,
    )  # fmt: skip
    assert text == (
        "finetuning, round 2 of 4, 3 site(s), loss 0.5000, death AUROC 0.750, "
        "stay AUROC withheld, 2.5 MB"
    )
    withheld = describe_event(
        {"event": "phase", "phase": "vocabulary", "round": 0, "loss": None}, 0
    )
    assert withheld == "vocabulary"
