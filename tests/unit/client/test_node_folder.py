"""The hospital's node folder: its key, its site file, what is refused before any start."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from fedehr_client.node.folder import create_node, open_node
from fedehr_client.node.keys import fingerprint, private_key_fingerprint
from fedehr_shared.errors import ConfigError, DataError, UsageError


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    # The client cannot import the server's certificate maker; openssl is as good.
    file = tmp_path / "coordinator-ca.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=test", "-keyout", tmp_path / "ca.key", "-out", file],
        check=True, capture_output=True,
    )  # fmt: skip
    return file


@pytest.fixture
def records(tmp_path: Path) -> Path:
    (tmp_path / "north" / "data").mkdir(parents=True)
    return tmp_path / "north"


def test_the_site_file_reads_back(tmp_path: Path, records: Path, ca: Path) -> None:
    made = create_node(tmp_path / "node", "north", records, "localhost:443", ca)
    config = open_node(tmp_path / "node").config()
    assert config.site.records == records
    assert config.network.root_certificates.read_bytes() == ca.read_bytes()
    assert config.network.private_key.is_file()
    assert stat.S_IMODE(config.network.private_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert fingerprint(made.public_key) == private_key_fingerprint(config.network.private_key)


def test_openssh_reads_the_key(tmp_path: Path, records: Path, ca: Path) -> None:
    keygen = shutil.which("ssh-keygen")
    if keygen is None:
        pytest.skip("ssh-keygen is not installed")
    made = create_node(tmp_path / "node", "north", records, "localhost:443", ca)
    shown = subprocess.run(
        [keygen, "-lf", made.public_key], check=True, capture_output=True, text=True
    ).stdout.split()
    assert shown[:2] == ["384", fingerprint(made.public_key)]


def test_a_second_init_is_refused(tmp_path: Path, records: Path, ca: Path) -> None:
    made = create_node(tmp_path / "node", "north", records, "localhost:443", ca)
    before = made.public_key.read_bytes()
    with pytest.raises(UsageError, match="not empty"):
        create_node(tmp_path / "node", "north", records, "localhost:443", ca)
    assert made.public_key.read_bytes() == before


def test_wrong_input_leaves_no_folder(tmp_path: Path, records: Path, ca: Path) -> None:
    node = tmp_path / "node"
    with pytest.raises(DataError, match="data/"):
        create_node(node, "north", tmp_path / "none", "localhost:443", ca)
    with pytest.raises(ConfigError, match="host:port"):
        create_node(node, "north", records, "localhost", ca)
    with pytest.raises(ConfigError, match=r"site\.name"):
        create_node(node, "No Name", records, "localhost:443", ca)
    with pytest.raises(ConfigError, match="PEM"):
        create_node(node, "north", records, "localhost:443", Path(__file__))
    assert not node.exists()
