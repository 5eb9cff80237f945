"""The certificate files of a node: missing, wrong, of another kind, or soon over."""

import subprocess
from pathlib import Path

import pytest

from fedehr_client.doctor.certificate_check import check_certificates
from fedehr_client.doctor.finding import Finding
from fedehr_client.node.folder import NodeFolder, create_node


@pytest.fixture
def node(tmp_path: Path) -> NodeFolder:
    return create_node(tmp_path / "node", "north", None, "localhost:443", None)


def _make(file: Path, days: int = 100, authority: bool = True) -> None:
    usage = "critical,CA:TRUE" if authority else "CA:FALSE"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=test", "-days", str(days), "-keyout", file.with_suffix(".key"),
         "-config", "/dev/null", "-addext", f"basicConstraints={usage}", "-out", file],
        check=True, capture_output=True,
    )  # fmt: skip


def _only(node: NodeFolder) -> Finding:
    found = list(check_certificates(node.config().network))
    assert len(found) == 1
    return found[0]


def test_an_authority_of_some_days_to_come(node: NodeFolder) -> None:
    _make(node.authority_file)
    found = _only(node)
    assert found.verdict == "ok"
    assert found.figures["days_left"] == 99


@pytest.mark.parametrize(("days", "urgent"), [(29, False), (6, True)])
def test_one_that_is_soon_over(node: NodeFolder, days: int, urgent: bool) -> None:
    _make(node.authority_file, days)
    found = _only(node)
    assert found.verdict == "warn"
    assert found.text.startswith("URGENT") == urgent


def test_missing_empty_or_no_certificate(node: NodeFolder) -> None:
    assert _only(node).verdict == "fail"
    for content in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"):
        node.authority_file.write_bytes(content)
        found = _only(node)
        assert found.verdict == "fail"
        assert str(node.authority_file) in str(found.mend)


def test_a_servers_certificate_is_no_authority(node: NodeFolder) -> None:
    _make(node.authority_file, authority=False)
    found = _only(node)
    assert found.verdict == "fail"
    assert "CN=test" in found.text


def test_what_the_engine_cannot_read_is_mended_by_the_line(node: NodeFolder) -> None:
    _make(node.authority_file)
    clean = node.authority_file.read_bytes()
    node.authority_file.write_bytes("# Autorit\u00e9 de l'h\u00f4pital\n".encode() + clean)
    found = _only(node)
    assert found.verdict == "fail"
    subprocess.run(["bash", "-c", str(found.mend)], check=False, capture_output=True)
    assert _only(node).verdict == "ok"
