"""`fedehr-client budget`: what a privacy officer reads, and backups by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedehr_client.cli.main import app
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import planned_charges, spending_of
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.site import SiteConfig
from fedehr_shared.errors import ConfigError, DataError

SITE = """
[site]
name = "north"
records = "records"
{ceilings}
[network]
coordinator = "localhost:443"
root_certificates = "ca.crt"
private_key = "node.key"
"""
CEILINGS = "[ceilings]\nsubject_epsilon = 5.0\nsubject_delta = 1e-5\n"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(SITE.format(ceilings=CEILINGS))
    return tmp_path


def _run(*words: object) -> str:
    done = CliRunner().invoke(app, ["budget", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def _json(*words: object) -> Any:
    return json.loads(_run(*words, "--json"))


def _charge(node: Path, study: Any, num: int) -> Ledger:
    config = SiteConfig.load(node / "site.toml")
    ledger = Ledger(config.site.work, config.ceilings.ceiling, "north")
    ledger.note(study, "vocabulary", "begin")
    for charge in planned_charges(study)[:num]:
        ledger.reserve(study, charge)
    return ledger


def test_nothing_spent_is_nothing_and_makes_no_file(node: Path) -> None:
    found = _json(node)
    assert found["subject_epsilon"] == {"ceiling": 5.0, "spent": 0.0, "left": 5.0}
    assert (found["studies"], found["num_charges"]) == ([], 0)
    assert not (node / "work").exists()


def test_what_is_spent_is_shown_with_what_the_next_round_costs(
    node: Path, make_noisy_study: Callable[..., Any]
) -> None:
    first, second = make_noisy_study("first"), make_noisy_study("second", vocabulary={})
    ledger = _charge(node, first, 3)
    ledger.reserve(first, planned_charges(first)[2])
    _charge(node, second, 5)
    ledger.note(second, "evaluation", "end")
    found = _json(node / "site.toml")
    assert found["neighbors"] == "add_or_remove_one_subject"
    assert found["subject_delta"] == 1e-5
    assert found["subject_epsilon"]["spent"] == ledger.spent()
    assert found["subject_epsilon"]["left"] == 5.0 - ledger.spent()
    assert found["naming_delta"] == 0.5e-7
    shown = {study["name"]: study for study in found["studies"]}
    assert [shown[name]["is_open"] for name in ("first", "second")] == [True, False]
    assert shown["second"]["next"] is None
    phases = {phase["phase"]: phase["num_charged"] for phase in shown["first"]["phases"]}
    assert phases == {"vocabulary": {"1": 1}, "pretraining": {"1": 1, "2": 2}}
    due = shown["first"]["next"]
    assert (due["phase"], due["round"], due["is_within"]) == ("finetuning", 1, True)
    # The same number as after that round has been reserved.
    ledger.reserve(first, planned_charges(first)[3])
    assert due["subject_epsilon"] == ledger.spent()
    for charge in planned_charges(first)[4:]:
        ledger.reserve(first, charge)
    assert due["subject_epsilon_at_end"] == ledger.spent()
    text = _run(node)
    assert f"{ledger.spent():.3f} of 5" in text
    assert "first" in text


def test_without_a_ceiling_it_is_shown_all_the_same(
    node: Path, make_noisy_study: Callable[..., Any]
) -> None:
    (node / "site.toml").write_text(SITE.format(ceilings=""))
    ledger = _charge(node, make_noisy_study(), 2)
    found = _json(node)["subject_epsilon"]
    assert found == {"ceiling": None, "spent": ledger.spent(), "left": None}
    assert "no ceiling" in _run(node)


def test_a_delta_that_is_used_up_is_no_number(node: Path, make_noisy_study: Any) -> None:
    (node / "site.toml").write_text(SITE.format(ceilings=""))
    _charge(node, make_noisy_study(vocabulary={"noise_epsilon": 1.0, "noise_delta": 1e-3}), 1)
    assert _json(node)["subject_epsilon"]["spent"] == "infinite"
    assert "infinite" in _run(node)


def test_training_without_noise_is_named(node: Path, make_noisy_study: Any) -> None:
    study = make_noisy_study("bare", privacy={}, vocabulary={})
    Ledger(node / "work", Ceiling(), "north").note(study, "finetuning", "unprotected")
    assert _json(node)["unprotected"] == [{"name": "bare", "phase": "finetuning"}]
    assert "not covered by epsilon: finetuning of 'bare'" in _run(node)


def test_a_backup_goes_and_comes_by_the_command(node: Path, make_noisy_study: Any) -> None:
    ledger = _charge(node, make_noisy_study(), 4)
    spent = ledger.spent()
    assert _json("backup", node, node / "saved")["num_entries"] == 6
    (node / "work" / "privacy").rename(node / "lost")
    assert _json(node)["num_charges"] == 0
    assert _json("restore", node, node / "saved")["num_added"] == 6
    assert ledger.spent() == spent
    assert "added 0 entries" in _run("restore", node, node / "saved")


def test_a_damaged_ledger_is_named(node: Path, make_noisy_study: Any) -> None:
    _charge(node, make_noisy_study(), 2)
    file = node / "work" / "privacy" / "ledger.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"round": 1', b'"round": 2', 1))
    for words in ([node], ["backup", node, node / "saved"]):
        with pytest.raises(DataError, match="does not"):
            _run(*words)
    assert not (node / "saved").exists()


@pytest.mark.parametrize("value", ["nan", "-1.0", "1e9", '"much"', "inf"])
def test_a_ceiling_that_is_no_number_is_refused(value: str, node: Path) -> None:
    (node / "site.toml").write_text(SITE.format(ceilings=f"[ceilings]\nsubject_epsilon = {value}"))
    with pytest.raises(ConfigError, match="subject_epsilon"):
        _run(node)


def test_the_rest_of_the_plan_costs_what_the_study_says(make_noisy_study: Any) -> None:
    from fedehr_shared.privacy.study_cost import StudyCost

    study = make_noisy_study(vocabulary={})
    planned = spending_of(planned_charges(study))
    assert list(planned.history) == StudyCost.of(study).history()
    assert planned.subject_epsilon(1e-5) == StudyCost.of(study).subject_epsilon
