"""`fedehr-client studies | show | approve | refuse | revoke`, as a person types them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.store import ContractStore
from fedehr_shared.errors import PolicyError
from fedehr_shared.wire.payload import Payload

Make = Callable[..., Any]


@pytest.fixture
def proposed(office: Any, make_study: Make, tmp_path: Path) -> Any:
    """A node, and a contract that waits there."""
    node = office.node(tmp_path / "node", num_training=1_234)
    known = ContractStore(node).receive(office.sign(make_study()))
    return node, known


def test_from_a_proposal_to_a_running_study_and_its_end(
    proposed: Any, client: Make, program: Make, contract_office: Any
) -> None:
    node, known = proposed
    listed = client("studies", node.path)
    assert listed.returncode == 0
    assert known.digest[:12] in listed.stdout
    assert f"fedehr-client show {node.path} {known.digest[:12]}" in listed.stdout
    approved = program("approve", node.path, "small", "--note", "IRB 12/26", stdin="y\n")
    assert approved.returncode == 0, approved.stderr
    assert "WHAT LEAVES" in approved.stdout
    gate = ContractGate(node, bytes_since=lambda time: 0)
    work: Any = {
        "contract": known.digest,
        "work_id": f"{known.study.digest}/vocabulary/1/1",
        "study": known.study.to_json(),
    }
    admitted = gate.admit(Payload(values={"work": work}), 3, contract_office.BUNDLE)
    gate.answered(admitted)
    told = json.loads(client("studies", node.path, "--json").stdout)["studies"][0]
    assert told["state"] == "approved"
    assert told["num_runs"] == {"begun": 1, "allowed": 1}
    assert told["num_rounds"] == {"answered": 1, "asked": 1, "of_a_run": 6}
    revoked = program("revoke", node.path, known.digest[:8], "--yes", "--note", "enough")
    assert revoked.returncode == 0
    with pytest.raises(PolicyError, match="was revoked here"):
        gate.admit(Payload(values={"work": work}), 3, contract_office.BUNDLE)
    lines = [json.loads(line) for line in node.audit_file.read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "contract_received", "contract_approved", "contract_revoked", "request_refused"
    ]  # fmt: skip
    assert lines[1]["note"] == "IRB 12/26"
    assert lines[1]["by"] == lines[2]["by"] != ""
    assert "IRB 12/26" in client("show", node.path, "small").stdout


def test_the_page_and_its_json_say_the_same(proposed: Any, client: Make) -> None:
    node, known = proposed
    page = client("show", node.path, "small").stdout
    facts = json.loads(client("show", node.path, "small", "--json").stdout)
    flat = re.sub(r"\s+", " ", page)
    assert facts["contract"] == known.digest
    assert facts["contract"] in page
    assert facts["records"]["num_training_subjects"] == 1_234
    assert "1,234 here" in flat
    for phase in facts["phases"]:
        for sent in phase["sent"]:
            assert sent["what"] in flat
            if sent["protection"] == "not_covered":
                assert sent["reason"] in flat
    for column in facts["records"]["columns"]:
        assert column.rpartition(".")[2] in flat
    for task in facts["records"]["tasks"]:
        assert f"'{task['name']}'" in flat
    for site in facts["sites"]:
        assert site in flat
    for bound in facts["ceilings"]:
        assert bound["key"] in flat
        assert bound["asked"] in flat
    for key in ("created", "deadline"):
        assert facts[key] in flat
    assert facts["privacy"]["in_words"] in flat
    assert facts["signer"]["key_sha256"][:16] in flat
    assert facts["max_bytes"] == sum(phase["max_bytes"] for phase in facts["phases"])


def test_the_page_is_read_in_two_minutes(proposed: Any, client: Make) -> None:
    """Some 300 words a minute; the table of ceilings is looked over."""
    node, _ = proposed
    page = client("show", node.path, "small")
    text = page.stdout[: page.stdout.index("YOUR CEILINGS")]
    assert 150 < len(text.split()) < 620
    assert max(map(len, text.splitlines())) <= 110


def test_a_question_without_a_yes_decides_nothing(proposed: Any, client: Make) -> None:
    node, known = proposed
    for command in ("approve", "refuse"):
        for answer in ("", "n\n", "yep\n"):
            ended = client(command, node.path, "small", stdin=answer)
            assert ended.returncode == 2
            assert "nothing was decided" in ended.stderr
    assert ContractStore(node).find(known.digest).state == "waiting"


def test_a_contract_file_is_checked_kept_and_approved(
    office: Any, make_study: Make, client: Make, contract_office: Any, tmp_path: Path
) -> None:
    node = office.node(tmp_path / "node")
    signed = office.sign(make_study())
    file = tmp_path / "small.json"
    file.write_text(signed.to_json())
    assert "WHAT LEAVES" in client("show", node.path, file).stdout
    assert ContractStore(node).all() == []
    assert client("approve", node.path, file, "--yes").returncode == 0
    assert [known.state for known in ContractStore(node).all()] == ["approved"]
    stranger = contract_office.ContractOffice.open(tmp_path / "stranger")
    file.write_text(stranger.sign(make_study(seed=9)).to_json())
    for command in ("show", "approve", "refuse"):
        ended = client(command, node.path, file)
        assert ended.returncode == 6
        assert "not certified" in ended.stderr
    file.write_text("no contract")
    assert client("approve", node.path, file).returncode == 6
    assert len(ContractStore(node).all()) == 1


def test_what_crosses_a_ceiling_is_told_and_refused(
    proposed: Any, client: Make, contract_office: Any
) -> None:
    node, known = proposed
    contract_office.write_site_file(node, min_sites=3, tasks=("death",))
    page = client("show", node.path, "small")
    assert page.returncode == 0
    assert page.stdout.count("CROSSED") == 2
    assert f"approve {node.path}" not in page.stdout
    ended = client("approve", node.path, "small", "--yes")
    assert ended.returncode == 6
    assert "[ceilings] min_sites" in ended.stderr
    assert "[ceilings] tasks" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ContractStore(node).find(known.digest).state == "waiting"


def test_what_is_over_is_shown_and_not_approved(
    office: Any, make_study: Make, client: Make, tmp_path: Path
) -> None:
    node = office.node(tmp_path / "node")
    known = ContractStore(node).receive(office.sign(make_study()))
    (node.path / "ca.crt").write_bytes(b"gone")
    page = client("show", node.path, "small")
    assert page.returncode == 0
    assert "DOES NOT HOLD" in page.stdout
    ended = client("approve", node.path, known.digest[:10], "--yes")
    assert ended.returncode == 6
    (node.path / "ca.crt").unlink()
    ended = client("approve", node.path, known.digest[:10], "--yes")
    assert ended.returncode == 3
    assert "ca.crt" in ended.stderr


def test_no_node_and_no_study(client: Make, proposed: Any, tmp_path: Path) -> None:
    node, _ = proposed
    for command in ("show", "approve", "refuse", "revoke"):
        ended = client(command, node.path, "unknown")
        assert ended.returncode == 2
        assert "fedehr-client studies" in ended.stderr
    assert client("studies", tmp_path / "none").returncode == 3


def test_the_same_decision_twice_changes_nothing(proposed: Any, program: Make) -> None:
    node, known = proposed
    program("approve", node.path, "small", "--yes", "--note", "first")
    before = node.audit_file.read_bytes()
    again = program("approve", node.path, known.digest[:8], "--note", "second")
    assert again.returncode == 0, again.stderr
    assert "is approved already; nothing was changed" in again.stdout
    program("revoke", node.path, "small", "--yes")
    assert "is revoked already" in program("revoke", node.path, "small").stdout
    program("approve", node.path, "small", "--yes")
    assert node.audit_file.read_bytes().startswith(before)
    assert node.audit_file.read_text().count("contract_approved") == 2


def test_a_contract_file_that_is_not_there_is_no_study(proposed: Any, program: Make) -> None:
    node, _ = proposed
    refused = program("approve", node.path, "contract.json", "--yes")
    assert refused.returncode == 2
    assert "there is no contract file contract.json" in refused.stderr
