"""Versions: of contracts that may still work here, against what is installed."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.doctor.finding import Finding, Verdict
from fedehr_client.doctor.version_check import check_versions
from fedehr_client.node.folder import NodeFolder, create_node


@pytest.fixture
def node(tmp_path: Path) -> NodeFolder:
    return create_node(tmp_path / "node", "north", None, "localhost:443", None)


def _keep(node: NodeFolder, state: str | None, **versions: str) -> None:
    """A contract's file as far as the check reads it."""
    node.contracts.mkdir(exist_ok=True)
    contract = {"fedehr_version": version("fedehr"), "flwr_version": version("flwr"), **versions}
    known: dict[str, Any] = {
        "decisions": [] if state is None else [{"state": "approved"}, {"state": state}],
        "signed": {"text": json.dumps(contract)},
    }
    (node.contracts / f"{len(list(node.contracts.iterdir()))}.json").write_text(json.dumps(known))


def _warned(node: NodeFolder) -> list[str]:
    found = [each for each in check_versions(node) if each.verdict is not Verdict.OK]
    return [f"{each.name} {each.figures['theirs']}" for each in found]


def test_what_is_installed_is_the_engine_that_fedehr_was_made_for(node: NodeFolder) -> None:
    found = {each.name: each for each in check_versions(node)}
    assert found["versions"].figures == {
        name: version(name) for name in ("fedehr", "flwr", "torch", "opacus")
    }
    assert found["engine"].verdict == "ok"


def test_a_contract_for_other_versions_is_told_once(node: NodeFolder) -> None:
    _keep(node, "approved")
    assert _warned(node) == []
    _keep(node, "approved", flwr_version="9.9.9")
    _keep(node, None, flwr_version="9.9.9", fedehr_version="8.8.8")
    assert _warned(node) == ["contract_version 8.8.8", "contract_version 9.9.9"]


@pytest.mark.parametrize("state", ["refused", "revoked"])
def test_a_contract_that_is_over_does_not_matter(node: NodeFolder, state: str) -> None:
    _keep(node, state, flwr_version="9.9.9")
    assert _warned(node) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"decisions": 3}', "\x00"])
def test_a_damaged_file_hides_no_other(node: NodeFolder, content: str) -> None:
    _keep(node, "approved", flwr_version="9.9.9")
    (node.contracts / "damaged.json").write_text(content)
    assert _warned(node) == ["contract_version 9.9.9"]


def test_a_failure_must_say_how_it_is_mended() -> None:
    with pytest.raises(ValueError, match="mends"):
        Finding("disk", Verdict.FAIL, "full")
