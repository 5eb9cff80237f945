"""The rules of the house, run as the tools that judge them."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "shared": "fedehr_shared",
    "client": "fedehr_client",
    "server": "fedehr_server",
    "simulations": "fedehr_simulations",
}
PROGRAMS = Path(sys.executable).parent
MAX_LINES = 400
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _python_files() -> Iterator[Path]:
    for folder in (*ROOMS, "tests", "deploy"):
        yield from (ROOT / folder).rglob("*.py")


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
    ],
    ids=" ".join,
)
def test_tools_find_nothing(command: list[str]) -> None:
    done = subprocess.run(
        [PROGRAMS / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tools_judge_what_we_rely_on() -> None:
    assert "D1" in PROJECT["tool"]["ruff"]["lint"]["select"]
    assert PROJECT["tool"]["mypy"]["strict"] is True
    assert set(PROJECT["tool"]["mypy"]["packages"]) == set(ROOMS.values())
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == set(ROOMS.values())
    kinds = [contract["type"] for contract in PROJECT["tool"]["importlinter"]["contracts"]]
    assert kinds == ["layers", "forbidden", "forbidden", "forbidden"]
    assert PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"


def test_no_file_is_longer_than_400_lines() -> None:
    files = list(_python_files())
    assert len(files) > 100
    long = {str(f.relative_to(ROOT)): len(f.read_text().splitlines()) for f in files}
    assert {name: num for name, num in long.items() if num > MAX_LINES} == {}


def test_no_file_has_a_vague_name() -> None:
    assert [str(f) for f in _python_files() if f.stem in VAGUE_NAMES] == []
    assert [str(f) for f in _python_files() if f.parent.name in VAGUE_NAMES] == []


def test_the_text_is_ascii() -> None:
    assert [str(f) for f in _python_files() if not f.read_text().isascii()] == []


@pytest.mark.parametrize(("room", "package"), ROOMS.items())
def test_each_room_holds_one_typed_package(room: str, package: str) -> None:
    packages = [p.name for p in (ROOT / room).iterdir() if (p / "__init__.py").is_file()]
    assert packages == [package]
    assert (ROOT / room / package / "py.typed").is_file()
    folders = {file.parent for file in (ROOT / room / package).rglob("*.py")}
    assert [str(f) for f in folders if not (f / "__init__.py").is_file()] == []


def test_the_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_flower_bundle_is_one_file_without_code() -> None:
    bundle = ROOT / "deploy" / "flower"
    assert [f.name for f in bundle.rglob("*") if "__pycache__" not in f.parts] == ["pyproject.toml"]
    content = tomllib.loads((bundle / "pyproject.toml").read_text())
    assert content["project"]["dependencies"] == []
    components = content["tool"]["flwr"]["app"]["components"]
    assert components == {
        "serverapp": "fedehr_server.app:app",
        "clientapp": "fedehr_client.app:app",
    }


def test_flower_is_pinned_to_the_version_that_was_tried() -> None:
    installed = version("flwr")
    extras = PROJECT["project"]["optional-dependencies"]["simulations"]
    pins = [p for p in (*PROJECT["project"]["dependencies"], *extras) if p.startswith("flwr")]
    assert sorted(pins) == [f"flwr=={installed}", f"flwr[simulation]=={installed}"]
    constraints = ROOT / "constraints.txt"
    assert f"flwr=={installed}" in constraints.read_text().splitlines()
