"""What the doctor says mends a thing, typed into a shell, mends it."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.audit.log import Audit
from fedehr_client.doctor.doctor import examine
from fedehr_client.doctor.finding import Finding, Verdict
from fedehr_client.doctor.folder_check import check_folder, check_keys
from fedehr_client.doctor.history_check import check_audit, check_ledger, check_processes
from fedehr_client.doctor.machine_check import check_disk, check_memory, check_ports
from fedehr_client.doctor.record_check import check_records
from fedehr_client.node.folder import NodeFolder, create_node
from fedehr_client.node.keys import create_key_pair
from fedehr_shared.ports import free_port
from fedehr_shared.processes import ProcessFamily


@pytest.fixture
def node(tmp_path: Path) -> NodeFolder:
    return create_node(tmp_path / "node", "north", None, "localhost:443", None)


def _worst(node: NodeFolder) -> Finding | None:
    found = [*check_folder(node), *check_keys(node, node.config())]
    failed = [each for each in found if each.verdict is not Verdict.OK]
    assert len(failed) <= 1, failed
    return failed[0] if failed else None


def _open_folder(node: NodeFolder) -> None:
    node.path.chmod(0o755)


def _open_key(node: NodeFolder) -> None:
    node.private_key.chmod(0o640)


def _other_public_key(node: NodeFolder) -> None:
    create_key_pair(node.path / "other", "other")
    (node.path / "other.pub").replace(node.public_key)


def _no_public_key(node: NodeFolder) -> None:
    node.public_key.unlink()


@pytest.mark.parametrize(
    "spoil", [_open_folder, _open_key, _other_public_key, _no_public_key], ids=lambda f: f.__name__
)
def test_the_mending_line_mends(node: NodeFolder, spoil: Callable[[NodeFolder], None]) -> None:
    assert _worst(node) is None
    spoil(node)
    found = _worst(node)
    assert found is not None
    assert found.mend is not None
    subprocess.run(["bash", "-c", found.mend], check=True, capture_output=True)
    assert _worst(node) is None


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_a_failure(node: NodeFolder, content: bytes) -> None:
    node.private_key.write_bytes(content)
    found = _worst(node)
    assert found is not None
    assert (found.name, found.verdict) == ("key", "fail")


def test_a_wrong_site_file_hides_nothing_else(node: NodeFolder) -> None:
    text = node.site_file.read_text()
    node.site_file.write_text(text.replace("min_cell = 11", "min_cell = 1\nmin_cels = 11"))
    node.private_key.chmod(0o644)
    found = {each.name: each for each in examine(node)}
    assert "ceilings.min_cell" in found["site_file"].text
    assert "min_cels" in found["site_file"].text
    assert found["key_mode"].verdict == "fail"
    assert found["audit"].verdict == "ok"
    assert "records" not in found


def test_the_doctor_changes_nothing(node: NodeFolder) -> None:
    def state() -> dict[str, tuple[int, int]]:
        files = sorted(node.path.rglob("*"))
        return {str(f): (f.stat().st_mtime_ns, f.stat().st_size) for f in files}

    before = state()
    assert len(list(examine(node))) > 10
    assert state() == before


def test_an_edited_audit_is_told_with_its_line(node: NodeFolder) -> None:
    audit = Audit(node.audit_file)
    for number in range(5):
        audit.append("start", {"number": number})
    assert check_audit(node).verdict == "ok"
    lines = node.audit_file.read_text().splitlines(keepends=True)
    node.audit_file.write_text("".join([lines[0], lines[2], *lines[3:]]))
    found = check_audit(node)
    assert found.verdict == "fail"
    assert "line 2" in found.text


def test_a_damaged_ledger_is_told(node: NodeFolder) -> None:
    assert check_ledger(node.config(), node).verdict == "ok"
    ledger = node.path / "work" / "privacy" / "ledger.jsonl"
    ledger.parent.mkdir()
    ledger.write_text('{"previous": "of another file"}\n')
    assert check_ledger(node.config(), node).verdict == "fail"


def test_processes_that_outlived_their_supervisor_are_told_and_ended(node: NodeFolder) -> None:
    assert [each.verdict for each in check_processes(node, is_running=False)] == ["ok"]
    family = ProcessFamily(node.state / "left.json")
    left = family.start(["sleep", "300"], {"PATH": os.defpath}, node.log_file, {})
    try:
        found = next(iter(check_processes(node, is_running=False)))
        assert found.verdict == "fail"
        assert found.figures["num_left"] == 1
        assert f"fedehr-client stop {node.path}" in str(found.mend)
    finally:
        family.stop()
        left.wait()
    assert next(iter(check_processes(node, is_running=False))).verdict == "ok"


def test_a_disk_too_small_for_the_records_is_told(
    node: NodeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No test can fill a disk of the machine it runs on: only the figure is another's.
    usage = shutil.disk_usage(node.path)
    assert check_disk(node, node.config()).verdict == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    found = check_disk(node, node.config())
    assert found.verdict == "fail"
    assert "1.0 GB" in str(found.mend)


def test_a_limit_beyond_the_machine_is_told(node: NodeFolder) -> None:
    assert check_memory(node.config()).verdict in {"ok", "warn"}
    _set(node, "#max_memory_bytes = 32_000_000_000", f"max_memory_bytes = {10**15}")
    found = check_memory(node.config())
    assert found.verdict == "fail"
    assert str(found.figures["total_bytes"]) in str(found.mend)


def test_a_taken_port_is_told_unless_the_node_itself_has_it(node: NodeFolder) -> None:
    import socket

    port = free_port()
    _set(node, "#http_port = 0", f"http_port = {port}")
    config = node.config()
    assert [each.verdict for each in check_ports(config, is_running=False)] == ["ok"]
    with socket.create_server(("127.0.0.1", port)):
        found = list(check_ports(config, is_running=False))
        assert [each.verdict for each in found] == ["fail"]
        assert str(port) in found[0].text
        assert [each.verdict for each in check_ports(config, is_running=True)] == ["ok"]


def _set(node: NodeFolder, before: str, after: str) -> None:
    text = node.site_file.read_text()
    assert before in text
    node.site_file.write_text(text.replace(before, after))


def test_counts_of_subjects_keep_the_cell_rule(tmp_path: Path, hospitals: Any) -> None:
    site = hospitals.sites[0]
    made = create_node(tmp_path / "own", "north", site.path, "localhost:443", None)
    found = {each.name: each for each in check_records(made.config(), made.path)}
    assert found["records"].verdict == "ok"
    assert found["records"].figures["num_subjects"] % 11 == 0
    _set(made, "min_cell = 11", "min_cell = 300")
    few, _ = check_records(made.config(), made.path)
    assert few.verdict == "fail"
    assert few.figures == {"num_subjects": None, "num_training": None}
    _set(made, "min_cell = 300", "min_cell = 11")
    _set(made, "#min_subjects = 1_000", "min_subjects = 1_000")
    refused, _ = check_records(made.config(), made.path)
    assert refused.verdict == "fail"
    assert "min_subjects" in refused.text


@pytest.mark.parametrize("damage", ["no data", "cut short", "several sites"])
def test_records_that_cannot_be_used_are_told(
    damage: str, tmp_path: Path, copied_hospitals: Any
) -> None:
    site = copied_hospitals.sites[0]
    place = site.path
    if damage == "several sites":
        place = tmp_path / "several"
        (place / "data").mkdir(parents=True)
        (place / "federation.json").write_text("{}")
    made = create_node(tmp_path / "own", "north", place, "localhost:443", None)
    if damage == "no data":
        shutil.rmtree(site.path / "data")
    elif damage == "cut short":
        file = site.data_files[0]
        file.write_bytes(file.read_bytes()[:100])
    (found,) = check_records(made.config(), made.path)
    assert found.verdict == "fail"
    assert str(place) in f"{found.text} {found.mend}"
