"""The programs that a rehearsal runs: how their faults are told."""

import pytest

from fedehr_client.trial.program import ask
from fedehr_shared.errors import FedehrError


def test_a_fault_of_a_program_is_told_in_one_line() -> None:
    with pytest.raises(FedehrError, match=r"OSError: it is full$") as told:
        ask("python", "-c", "raise OSError('it is full')")
    assert "Traceback" not in str(told.value)


def test_an_error_of_a_program_is_told_whole() -> None:
    with pytest.raises(FedehrError, match=r"failed: one two$"):
        ask("python", "-c", "import sys; sys.exit('progress ...\\nerror: one\\n  two')")
