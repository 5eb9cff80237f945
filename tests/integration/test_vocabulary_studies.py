"""Whole studies that re-use a vocabulary or ask for noise, and the commands about vocabularies."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedehr_server.cli.main import app
from fedehr_server.network.coordinator import CoordinatorNetworkConfig, create_coordinator
from fedehr_server.vocabulary_shelf import FOLDER_NAME, VocabularyShelf
from fedehr_shared.errors import DataError, FedehrError, UsageError
from fedehr_shared.privacy.gaussian import gaussian_delta
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.cli.run import _reuse
from fedehr_simulations.in_process import run_in_process

NO_TRAINING: dict[str, Any] = {"pretraining": {"rounds": 1}, "finetuning": {"rounds": 0}}


def _run(study: Any, hospitals: Any, folder: Path, shelf: VocabularyShelf) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return run_in_process(
        study, hospitals.sites, folder / "run", folder / "work", num_threads=1, shelf=shelf
    )


def test_a_later_study_reuses_the_vocabulary_and_no_code_leaves_again(
    make_study: Callable[..., Any], hospitals: Any, tmp_path: Path
) -> None:
    shelf = VocabularyShelf(tmp_path / FOLDER_NAME)
    _run(make_study(**NO_TRAINING), hospitals, tmp_path / "first", shelf)
    (digest,) = shelf.digests()
    study = make_study(vocabulary={"reuse": digest}, **NO_TRAINING)
    result = _run(study, hospitals, tmp_path / "second", shelf)
    assert result["status"] == "completed"
    both = [(tmp_path / run / "run" / "vocabulary.json").read_text() for run in ("first", "second")]
    assert both[0] == both[1]
    assert Vocabulary.from_json(both[0]).digest == digest
    labels: dict[str, Any] = {}
    for site in hospitals.sites:
        (file,) = (tmp_path / "second" / "work" / site.name / "sent").glob("vocabulary-*.json")
        sent = json.loads(file.read_text())
        assert sent["study"] == study.digest
        assert (sent["num_subjects_by_code"], sent["histograms"]) == ({}, {})
        labels |= sent["labels"]
    assert set(labels) == {"death", "long_stay"}
    assert shelf.digests() == [digest]


def test_a_study_whose_vocabulary_is_not_there_ends_before_a_site_is_asked(
    make_study: Callable[..., Any], hospitals: Any, tmp_path: Path
) -> None:
    study = make_study(vocabulary={"reuse": "0" * 64}, **NO_TRAINING)
    with pytest.raises(DataError, match="there is no vocabulary"):
        _run(study, hospitals, tmp_path / "one", VocabularyShelf(tmp_path / FOLDER_NAME))
    result = json.loads((tmp_path / "one" / "run" / "result.json").read_text())
    assert (result["code"], result["exit_code"]) == ("data", 4)
    assert not (tmp_path / "one" / "work").exists()


def _ledger(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / "privacy/ledger.jsonl").read_text().splitlines()]


def test_noise_is_charged_at_each_site_and_told_in_the_result(
    make_study: Callable[..., Any], hospitals: Any, tmp_path: Path
) -> None:
    noise = {"min_sites": 1, "noise_epsilon": 30.0, "noise_delta": 1e-5}
    study = make_study(vocabulary=noise, **NO_TRAINING)
    result = _run(study, hospitals, tmp_path / "noisy", VocabularyShelf(tmp_path / FOLDER_NAME))
    names = {site.name for site in hospitals.sites}
    assert result["privacy"]
    assert set(result["privacy"]) <= names
    for site, told in result["privacy"].items():
        work = tmp_path / "noisy" / "work" / site
        (line,) = [each for each in _ledger(work) if each["event"] == "reserve"]
        assert (line["phase"], line["sample_rate"], line["num_steps"]) == ("vocabulary", 1.0, 1)
        assert line["delta"] == told["delta"]
        # The noise by what one subject moves, of which nothing but the study decides.
        spent = gaussian_delta(line["noise_multiplier"], told["subject_epsilon"])
        assert spent + line["naming_delta"] == pytest.approx(told["delta"], rel=1e-6)
        assert told["subject_epsilon"] == 30.0
    # Sites of other sizes, one noise: it follows from the study alone.
    assert len({told["sigma"] for told in result["privacy"].values()}) == 1


@pytest.fixture
def coordinator(tmp_path: Path) -> Path:
    folder = tmp_path / "coordinator"
    create_coordinator(
        folder, CoordinatorNetworkConfig(host="127.0.0.1", port=18_443, proxy_port=18_444)
    )
    return folder


def _server(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["vocabulary", *map(str, arguments)])


def test_the_commands_list_show_export_and_import(coordinator: Path, tmp_path: Path) -> None:
    vocabulary = Vocabulary(("A", "B"), (None, (3, 9)), 4)
    file = tmp_path / "vocabulary.json"
    file.write_text(vocabulary.to_json() + "\n")
    assert json.loads(_server("list", coordinator, "--json").stdout) == []
    assert vocabulary.digest in _server("import", coordinator, file).stdout.replace("\n", "")
    (listed,) = json.loads(_server("list", coordinator, "--json").stdout)
    assert listed == {
        "digest": vocabulary.digest, "num_codes": 2, "num_codes_with_values": 1,
        "num_hash_buckets": 4, "num_tokens": vocabulary.num_tokens,
    }  # fmt: skip
    shown = json.loads(_server("show", coordinator, vocabulary.digest[:6], "--json").stdout)
    assert shown["codes"] == ["A", "B"]
    told = _server("show", coordinator, vocabulary.digest[:6]).stdout.replace("\n", "")
    assert re.search(r'\[vocabulary\].*reuse = "' + vocabulary.digest, told)
    exported = tmp_path / "exported.json"
    assert _server("export", coordinator, vocabulary.digest, exported).exit_code == 0
    assert exported.read_bytes() == file.read_bytes()
    again = _server("export", coordinator, vocabulary.digest, exported)
    assert isinstance(again.exception, UsageError)
    assert exported.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "cannot read"),
        (b"{}", "cannot be read"),
        (b'{"format":1,"grid_edges":16384,"codes":[["A",null]]}', "format 1"),
        (b'{"format":2,"grid_edges":256,"num_hash_buckets":0,"codes":[]}', "256 edges"),
    ],
)
def test_what_is_no_vocabulary_is_not_imported(
    coordinator: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "wrong.json"
    file.write_bytes(content)
    done = _server("import", coordinator, file)
    assert isinstance(done.exception, DataError)
    assert said in str(done.exception)
    assert VocabularyShelf(coordinator / FOLDER_NAME).digests() == []


def test_an_unknown_or_ambiguous_digest_is_said(coordinator: Path) -> None:
    shelf = VocabularyShelf(coordinator / FOLDER_NAME)
    for code in "ABCDEFGHIJKLMNOPQR":
        shelf.keep(Vocabulary((code,), (None,)))
    several = _server("show", coordinator, "")
    none = _server("show", coordinator, "zz")
    assert isinstance(several.exception, UsageError)
    assert "18 vocabularies" in str(several.exception)
    assert "0 vocabularies" in str(none.exception)


def test_a_simulation_takes_the_vocabulary_from_a_file(
    make_study: Callable[..., Any], hospitals: Any, tmp_path: Path
) -> None:
    vocabulary = Vocabulary(("A",), (None,))
    file = tmp_path / "vocabulary.json"
    file.write_text(vocabulary.to_json())
    out = tmp_path / "out"
    study = _reuse(make_study(), file, hospitals.path, out)
    assert study.vocabulary.reuse == vocabulary.digest
    assert VocabularyShelf(out / FOLDER_NAME).take(vocabulary.digest) == vocabulary
    other = make_study(vocabulary={"reuse": "0" * 64})
    for wrong in (file, None):
        with pytest.raises(UsageError):
            _reuse(other, wrong, hospitals.path, tmp_path / "other")
    with pytest.raises(FedehrError):
        _reuse(make_study(finetuning={"tasks": ["sepsis"]}), file, hospitals.path, tmp_path / "no")
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "no").exists()
