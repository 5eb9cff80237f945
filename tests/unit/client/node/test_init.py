"""`fedehr-client init` as a process: what it makes, prints, and refuses."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fedehr_client.node.folder import open_node
from fedehr_client.node.site_name import suggested_site_name

PROGRAM = Path(sys.executable).parent / "fedehr-client"


def _init(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), "init", *map(str, words)],
        cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_one_option_is_enough(tmp_path: Path) -> None:
    done = _init(tmp_path, "--coordinator", "fedehr.example.org")
    assert done.returncode == 0, done.stderr
    node = open_node(tmp_path / "fedehr-node")
    config = node.config()
    assert config.network.coordinator == "fedehr.example.org:443"
    assert config.site.records == node.records
    assert not node.authority_file.exists()
    public_key = node.public_key.read_text().strip()
    assert public_key in done.stdout.splitlines()[3]
    assert "TCP to fedehr.example.org, port 443" in done.stdout
    assert str(node.authority_file) in done.stdout
    assert "fedehr-client import" in done.stdout
    assert "fedehr-client start fedehr-node" in done.stdout
    assert "PRIVATE" not in done.stdout + done.stderr


def test_only_the_owner_can_read_what_is_made(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(PROGRAM), "init", str(tmp_path / "node"), "--coordinator", "localhost"],
        capture_output=True, text=True, check=True, umask=0,
    )  # fmt: skip
    assert done.returncode == 0
    assert stat.S_IMODE((tmp_path / "node").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "node" / "node.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(("typed", "name"), [("north", "north"), ("", None)])
def test_a_person_is_asked_for_the_name(typed: str, name: str | None, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    os.write(ours, f"{typed}\n".encode())
    command = [str(PROGRAM), "init", "node", "--coordinator", "localhost"]
    done = subprocess.run(
        command, cwd=tmp_path, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, check=False
    )
    asked = os.read(ours, 4_096).decode()
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0, asked
    assert "name of this site" in asked
    made = open_node(tmp_path / "node").config().site.name
    assert made == (name or suggested_site_name())
    assert f"[{suggested_site_name()}]" in asked


def test_json_is_all_that_a_program_needs(tmp_path: Path) -> None:
    done = _init(tmp_path, "n", "--coordinator", "10.0.0.7:8443", "--name", "north", "--json")
    facts = json.loads(done.stdout)
    assert facts["name"] == "north"
    assert facts["coordinator"] == "10.0.0.7:8443"
    assert facts["has_certificate_authority"] is False
    assert facts["has_records"] is False
    keygen = shutil.which("ssh-keygen")
    if keygen:
        shown = subprocess.run(
            [keygen, "-lf", facts["public_key_file"]], check=True, capture_output=True, text=True
        )
        assert shown.stdout.split()[1] == facts["fingerprint"]


def test_the_authority_is_copied_and_its_fingerprint_told(tmp_path: Path) -> None:
    ca = tmp_path / "theirs.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=test", "-keyout", tmp_path / "ca.key", "-out", ca],
        check=True, capture_output=True,
    )  # fmt: skip
    done = _init(tmp_path, "node", "--coordinator", "localhost", "--ca", ca)
    assert (tmp_path / "node" / "ca.crt").read_bytes() == ca.read_bytes()
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", ca],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert shown.strip().partition("=")[2] in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = _init(tmp_path, "node", "--coordinator", "localhost")
    assert done.returncode == 2
    assert "Name another folder" in done.stderr


def test_a_folder_inside_a_file_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = _init(tmp_path, "file/node", "--coordinator", "localhost")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_existing_node_is_left_alone(tmp_path: Path) -> None:
    assert _init(tmp_path, "node", "--coordinator", "localhost").returncode == 0
    key = (tmp_path / "node" / "node.key").read_bytes()
    again = _init(tmp_path, "node", "--coordinator", "localhost")
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert (tmp_path / "node" / "node.key").read_bytes() == key
