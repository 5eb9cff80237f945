"""A site file that asks for more processors than the machine has is told so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedehr_client.doctor.processor_check import check_processors
from fedehr_client.node.folder import NodeFolder, create_node


@pytest.fixture
def node(tmp_path: Path) -> NodeFolder:
    return create_node(tmp_path / "node", "north", None, "localhost:443", None)


def test_a_new_site_file_fits_any_machine(node: NodeFolder) -> None:
    assert check_processors(node.config()).verdict == "ok"


@pytest.mark.parametrize(("key", "line"), [("num_cpus", "#num_cpus = 8"),
                                           ("num_threads", "#num_threads = 4")])  # fmt: skip
def test_more_than_there_are_is_worth_a_look(node: NodeFolder, key: str, line: str) -> None:
    there = len(os.sched_getaffinity(0))
    text = node.site_file.read_text()
    assert line in text
    node.site_file.write_text(text.replace(line, f"{key} = {there + 1}"))
    found = check_processors(node.config())
    assert found.verdict == "warn"
    assert f"{key} is {there + 1}" in found.text
    assert found.mend is not None
    assert f"{key} to {there} or less" in found.mend
    node.site_file.write_text(text.replace(line, f"{key} = {there}"))
    assert check_processors(node.config()).verdict == "ok"


def test_a_service_that_may_use_one_processor_has_one(node: NodeFolder) -> None:
    text = node.site_file.read_text()
    node.site_file.write_text(text.replace("#num_cpus = 8", "num_cpus = 2"))
    ask = (
        "import os, sys; from pathlib import Path;"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from fedehr_client.doctor.processor_check import check_processors;"
        "from fedehr_client.node.folder import open_node;"
        "print(check_processors(open_node(Path(sys.argv[1])).config()).verdict.value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask, str(node.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "warn"
