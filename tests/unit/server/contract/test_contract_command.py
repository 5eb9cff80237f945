"""`fedehr-server contract --out`: it says where the contract really was written."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedehr_server.cli.contract import app
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import UsageError


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "study.toml"
    file.write_text('name = "small"\n[finetuning]\ntasks = ["death"]\n')
    return file


def test_the_file_that_was_asked_for_is_named_and_holds_the_contract(
    coordinator: CoordinatorFolder, study: Path, tmp_path: Path
) -> None:
    wished = tmp_path / "for-the-sites.json"
    done = CliRunner().invoke(app, [str(coordinator.path), str(study), "--out", str(wished)])
    assert done.exit_code == 0, done.output
    assert f"wrote {wished}" in done.stdout
    assert f"send {wished} to the sites" in done.stdout
    assert str(coordinator.contracts) not in done.stdout
    digest = StudyContract.from_json(SignedContract.load(wished).text).digest
    assert f"contract {digest}" in done.stdout

    # The same file twice is refused before a second contract is signed.
    again = CliRunner().invoke(app, [str(coordinator.path), str(study), "--out", str(wished)])
    assert isinstance(again.exception, UsageError)
    assert len(list(coordinator.contracts.iterdir())) == 1


def test_without_a_file_the_coordinators_own_is_named(
    coordinator: CoordinatorFolder, study: Path
) -> None:
    done = CliRunner().invoke(app, [str(coordinator.path), str(study), "--json"])
    told = json.loads(done.stdout)
    assert told["file"] == str(coordinator.contracts / f"{told['digest']}.json")
    assert Path(told["file"]).is_file()
