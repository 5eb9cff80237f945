"""`fedehr-client train`: what it says, what it ends with, and that it leaves nothing behind."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from fedehr_client.cli.main import run

MIN_CELL = "5"
STUDY = """
name = "small"
vocabulary.min_cell = 5
sequence.context = {context}
finetuning.tasks = ["death"]
[model]
size = "tiny"
[objective]
kind = "{kind}"
[pretraining]
learning_rate = {rate}
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: object
    out: str
    err: str

    @property
    def told(self) -> Any:
        return json.loads(self.out)


Train = Callable[..., Done]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Train:
    """`train(site, "--steps", "5")`: the program in this process, on one thread of the CPU."""
    (tmp_path / "temp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    monkeypatch.setattr("tempfile.tempdir", None)

    def call(site: Any, *options: str) -> Done:
        folder = getattr(site, "path", site)
        given = ["fedehr-client", "train", str(folder), "--min-cell", MIN_CELL, *options]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as ended:
            run()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return Done(ended.value.code, printed.out, printed.err)

    return call


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., str]:
    """`write_study(rate=1e-9)`: the path of a study file."""

    def write(*, kind: str = "masked_events", rate: float = 3e-3, context: int = 64) -> str:
        file = tmp_path / "study.toml"
        file.write_text(STUDY.format(kind=kind, rate=rate, context=context))
        return str(file)

    return write


@pytest.fixture(scope="module")
def site(hospitals: Any) -> Any:
    """The largest of the synthetic hospitals. Read only."""
    return hospitals.sites[0]


@pytest.mark.parametrize(
    ("kind", "num"), [("masked_events", 8), ("masked_autoencoder", 4), ("contrastive", 8)]
)
def test_a_few_subjects_are_learned_by_heart(
    kind: str, num: int, site: Any, train: Train, write_study: Callable[..., str]
) -> None:
    done = train(site, "--overfit", str(num), "--study", write_study(kind=kind), "--json")

    assert done.code == 0, done.err
    found = done.told["overfit"]
    assert found["reached"] is True
    assert found["loss"] < 0.06
    assert found["first_loss"] > 1
    assert found["num_subjects"] == num
    if kind == "contrastive":
        assert found["accuracy"] is None
        assert "two views of each" in found["sentence"]
    else:
        assert found["accuracy"] > 0.95
        assert found["num_hidden"] > 5 * num


def test_a_real_process_says_how_many_steps_it_took_and_leaves_nothing(
    site: Any, tmp_path: Path
) -> None:
    command = [Path(sys.executable).parent / "fedehr-client", "train", site.path, "--overfit", "8"]
    (tmp_path / "temp").mkdir()
    environment = {"TMPDIR": str(tmp_path / "temp"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr
    assert "learned by heart: 8 subject(s)" in done.stdout
    assert "steps and" in done.stdout
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_broken_training_says_that_it_could_not(
    site: Any, train: Train, write_study: Callable[..., str]
) -> None:
    study = write_study(rate=1e-9)
    done = train(site, "--overfit", "8", "--study", study, "--steps", "20", "--json")

    assert done.code == 1
    assert done.told["overfit"]["reached"] is False
    assert done.told["overfit"]["num_steps"] == 20
    assert "not learned by heart" in done.err
    assert "learning_rate" in done.err


def test_who_did_not_train_is_told_that_it_learned_nothing(
    site: Any, train: Train, write_study: Callable[..., str]
) -> None:
    done = train(site, "--study", write_study(rate=1e-9), "--steps", "1")

    assert done.code == 0, done.err
    assert "learned nothing beyond the code frequencies" in done.out
    assert "code entropy" in done.out
    assert "log(vocabulary)" in done.out
    assert "memory for" in done.out


def test_who_trained_is_told_by_how_much(
    site: Any, train: Train, write_study: Callable[..., str]
) -> None:
    done = train(site, "--study", write_study(rate=1e-2), "--steps", "200", "--json")

    told = done.told
    assert done.code == 0, done.err
    assert told["learned"] is True
    assert told["sentence"].startswith("learned: ")
    assert told["held_out_loss"] < told["held_out_reference"] - 0.05
    assert told["train_loss"] < told["code_entropy"] < told["log_vocabulary"]
    assert told["num_steps"] == 200
    assert told["out"] is None


def test_the_clock_ends_a_training(
    site: Any, train: Train, write_study: Callable[..., str]
) -> None:
    done = train(site, "--study", write_study(), "--minutes", "0.02", "--json")

    assert done.code == 0, done.err
    assert 1.2 <= done.told["seconds"] < 60
    assert done.told["num_steps"] >= 1


def test_weights_are_kept_only_where_asked_and_for_their_owner_alone(
    site: Any, train: Train, write_study: Callable[..., str], tmp_path: Path
) -> None:
    study, file = write_study(), tmp_path / "kept.safetensors"
    before = set(tmp_path.rglob("*"))
    assert train(site, "--study", study, "--steps", "1").code == 0
    assert set(tmp_path.rglob("*")) == before

    done = train(site, "--study", study, "--steps", "1", "--out", str(file), "--json")

    assert done.code == 0, done.err
    assert done.told["out"] == str(file)
    assert set(tmp_path.rglob("*")) == before | {file}
    assert file.stat().st_mode & 0o777 == 0o600
    with safe_open(file, framework="np") as opened:
        names = set(opened.keys())
        assert set(opened.metadata()) == {"study", "vocabulary"}
    assert "encoder.token_embedding.weight" in names
    again = train(site, "--study", study, "--steps", "1", "--out", str(file))
    assert again.code == 2
    assert "exists already" in again.err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--token-budget", "64"], 3, "token_budget"),
        (["--token-budget", "many"], 3, "token_budget"),
        (["--precision", "fp16"], 3, "fp16"),
        (["--attention", "varlen"], 3, "varlen"),
        (["--attention", "fastest"], 3, "attention"),
        (["--device", "tpu"], 3, "device"),
        (["--overfit", "1000"], 2, "more subjects"),
        (["--overfit", "8", "--out", "w.safetensors"], 2, "--out"),
        (["--steps", "5", "--minutes", "1"], 2, "--steps and --minutes"),
        (["--out", "/nowhere/w.safetensors"], 4, "/nowhere"),
        (["--study", "/nowhere/study.toml"], 3, "/nowhere/study.toml"),
        (["--vocabulary", "/nowhere/vocabulary.json"], 4, "/nowhere/vocabulary.json"),
        (["--compute", "/nowhere/site.toml"], 3, "/nowhere/site.toml"),
        (["--threads", "5000"], 3, "num_threads"),
        (["--min-cell", "1000"], 4, "min_cell"),
    ],
)
def test_wrong_settings_are_told_clearly(
    options: list[str], code: int, said: str, site: Any, train: Train
) -> None:
    done = train(site, *options)

    assert done.code == code
    assert "error:" in done.err
    assert said in done.err
    assert done.out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_gpu_that_is_not_there_is_told(site: Any, train: Train) -> None:
    done = train(site, "--device", "cuda")

    assert done.code == 3
    assert "cuda" in done.err


@pytest.mark.parametrize("context", [7, 16_385])
def test_a_context_out_of_bounds_is_told(
    context: int, site: Any, train: Train, write_study: Callable[..., str]
) -> None:
    done = train(site, "--study", write_study(context=context))

    assert done.code == 3
    assert "sequence.context" in done.err


def test_a_study_below_the_sites_floor_is_refused(
    site: Any, train: Train, write_study: Callable[..., str]
) -> None:
    done = train(site, "--study", write_study(), "--min-cell", "11")

    assert done.code == 6
    assert "min_cell" in done.err


def test_compute_comes_from_a_file_and_options_go_before_it(
    site: Any, train: Train, write_study: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "compute.toml"
    file.write_text('[compute]\nattention = "padded"\nprecision = "fp32"\ntoken_budget = 64\n')
    given = (site, "--study", write_study(), "--compute", str(file), "--steps", "1", "--json")

    assert "padded attention, 64 tokens at once" in train(*given).told["compute"]
    options = ("--attention", "sdpa", "--token-budget", "128", "--threads", "1")
    changed = train(*given, *options).told["compute"]
    assert "fp32, sdpa attention, 128 tokens at once" in changed
    assert "1 threads" in changed


def test_records_with_nothing_to_hide_are_told(
    copied_hospitals: Any, train: Train, tmp_path: Path, write_study: Callable[..., str]
) -> None:
    """All codes are foreign to the vocabulary of the study."""
    from fedehr_client.check.vocabulary import own_vocabulary
    from fedehr_shared.config.study import StudyConfig

    foreign, own = copied_hospitals.sites[:2]
    study = write_study()
    known = own_vocabulary(foreign, StudyConfig.load(Path(study)), 5)
    file = tmp_path / "vocabulary.json"
    file.write_text(known.to_json())
    codes = pq.read_table(own.codes_file)
    names = [f"ELSEWHERE//{number}" for number in range(codes.num_rows)]
    renamed = dict(zip(codes["code"].to_pylist(), names, strict=True))
    pq.write_table(pa.table({"code": sorted(names)}), own.codes_file)
    for shard in own.data_files:
        table = pq.read_table(shard)
        new = pa.array([renamed[code] for code in table["code"].to_pylist()])
        place = table.schema.get_field_index("code")
        pq.write_table(table.set_column(place, "code", new), shard)

    done = train(own, "--study", study, "--vocabulary", str(file))

    assert done.code == 4
    assert "may hide" in done.err
