"""`fedehr-client audit verify | show | export`."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's folder with an audit of four lines."""
    node = tmp_path / "node"
    (node / "work").mkdir(parents=True)
    (node / "site.toml").write_text(
        '[site]\nname = "north"\nrecords = "records"\n[network]\ncoordinator = "c.example:443"\n'
        'root_certificates = "ca.crt"\nprivate_key = "node.key"\n'
    )
    audit = Audit(node / "audit.jsonl")
    events.started(audit, flwr_version="1.41.0")
    events.joined(audit, coordinator="c.example:443")
    events.contract_received(audit, contract="b" * 64, study="small")
    audit.append("contract_refused", {"study": "small", "note": "=cmd|' /C calc'!A0"})
    return node


def _run(*args: object) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", "from fedehr_client.cli.main import run; run()"]
    command = [*program, "audit", *map(str, args)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def test_verify_names_the_line_and_ends_with_the_code_of_data(folder: Path) -> None:
    told = json.loads(_run("verify", folder, "--json").stdout)
    assert told[0]["num_lines"] == 4
    Audit(folder / "work" / "audit.jsonl").append("erase", {"num_subjects": 1})
    told = json.loads(_run("verify", folder, "--expect", told[0]["last_hash"], "--json").stdout)
    assert [one["num_lines"] for one in told] == [4, 1]
    assert _run("verify", folder, "--expect", "0" * 63 + "1").returncode == 4
    file = folder / "audit.jsonl"
    whole = file.read_bytes()
    for changed, named in (
        (whole.replace(b'"join"', b'"jo1n"'), "line 3 "),
        (whole[: whole.rindex(b'{"time"')], "had 4 lines and has 3"),
    ):
        file.write_bytes(changed)
        done = _run("verify", folder)
        assert done.returncode == 4
        assert named in " ".join(done.stderr.split())


def test_export_keeps_the_chain_or_is_a_table_that_runs_nothing(folder: Path) -> None:
    lines = _run("export", folder).stdout
    assert lines == (folder / "audit.jsonl").read_text()
    rows = list(csv.DictReader(io.StringIO(_run("export", folder, "--format", "csv").stdout)))
    assert [row["event"] for row in rows] == ["start", "join", "contract_received",
                                              "contract_refused"]  # fmt: skip
    assert rows[1]["coordinator"] == "c.example:443"
    assert rows[3]["note"].startswith("'=")
    assert _run("export", folder, "--since", "2999-01-01").stdout == ""
    assert len(_run("export", folder, "--since", "2020-01-01").stdout.splitlines()) == 4
    assert _run("export", folder, "--since", "yesterday").returncode == 2
    new = folder / "out.csv"
    assert _run("export", folder, "--format", "csv", "--out", new).returncode == 0
    assert _run("export", folder, "--out", new).returncode == 2


def test_show_tells_the_newest_in_words(folder: Path) -> None:
    shown = _run("show", folder, "--last", "2").stdout.splitlines()
    assert [line.split()[1] for line in shown] == ["contract_received", "contract_refused"]
    assert "contract=bbbbbbbbbbbb " in shown[0]
