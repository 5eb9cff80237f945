"""A node with proposals, and `fedehr-client`."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedehr_client.cli.main import app
from fedehr_shared.errors import FedehrError


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def client() -> Callable[..., Ended]:
    """`client("studies", node, stdin="")`: a command, in this process."""

    def run(*arguments: object, stdin: str = "") -> Ended:
        done = CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)
        if isinstance(done.exception, FedehrError):
            # As `run_program` ends it.
            return Ended(done.exception.exit_code, done.stdout, str(done.exception))
        assert done.exit_code in {0, 2}, done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def program() -> Callable[..., Ended]:
    """The same as a process of its own."""
    file = Path(sys.executable).with_name("fedehr-client")

    def run(*arguments: object, stdin: str = "") -> Ended:
        done = subprocess.run(
            [file, *map(str, arguments)],
            input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def office(contract_office: Any, tmp_path: Path) -> Any:
    """An authority, with its signer."""
    return contract_office.ContractOffice.open(tmp_path / "pki")
