"""One table of codes: classes, what may travel, and what the programs exit with."""

import re
from collections.abc import Iterator

import pytest

from fedehr_server.rounds.conductor import _ERRORS
from fedehr_server.rounds.machine import PERMANENT_CODES
from fedehr_shared import errors
from fedehr_shared.console import run_program
from fedehr_shared.errors import ERROR_CODES, EXIT_CODES, FedehrError


def _classes(kind: type[FedehrError] = FedehrError) -> Iterator[type[FedehrError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _classes(child)


OURS = [kind for kind in _classes() if kind.__module__ == "fedehr_shared.errors"]


def test_codes_are_those_of_the_classes_and_no_two_share_one() -> None:
    codes = [kind.code for kind in OURS]
    assert len(codes) == len(set(codes))
    assert set(codes) == ERROR_CODES


def test_a_class_of_another_module_has_the_code_of_one_of_ours() -> None:
    finer = [kind for kind in _classes() if kind not in OURS]
    assert {kind.__name__ for kind in finer if {"code", "exit_code"} & vars(kind).keys()} == set()


def test_exit_codes_are_the_documented_table() -> None:
    assert list(EXIT_CODES) == list(range(8))
    assert {kind.exit_code for kind in OURS} == set(EXIT_CODES) - {0}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    told = dict(re.findall(r"^ +(\w+Error) +(\d)  ", errors.__doc__ or "", re.MULTILINE))
    direct = [FedehrError, *(kind for kind in OURS if kind.__base__ is FedehrError)]
    assert {name: int(code) for name, code in told.items()} == {
        kind.__name__: kind.exit_code for kind in direct
    }


def test_the_public_names_are_complete() -> None:
    assert {kind.__name__ for kind in OURS} <= set(errors.__all__)


def test_the_coordinator_ends_with_the_class_of_every_code() -> None:
    ended = {code: _ERRORS.get(code, FedehrError) for code in ERROR_CODES}
    assert {code: kind.code for code, kind in ended.items()} == {c: c for c in ERROR_CODES}
    assert PERMANENT_CODES < ERROR_CODES


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_programs_exit_with_the_class_code_and_say_why(
    kind: type[FedehrError], capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise kind("port [7] is taken. Use another.")

    with pytest.raises(SystemExit) as ended:
        run_program(refuse)
    assert ended.value.code == kind.exit_code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "port [7] is taken. Use another." in printed.err
