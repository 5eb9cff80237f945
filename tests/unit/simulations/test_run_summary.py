"""What `fedehr-sim run` prints of a finished study."""

from typing import Any

import pytest

from fedehr_simulations.cli.run import _print_result

FINISHED: dict[str, Any] = {
    "status": "finished",
    "sites": ["a", "b"],
    "pretraining_loss": [5.9, 4.1],
}


def test_the_loss_stands_beside_what_the_code_frequencies_alone_lose(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sites = {"a": {"code_entropy": 4.0, "num_steps": 3}, "b": {"code_entropy": 5.0}, "c": {}}
    _print_result({**FINISHED, "training": {"pretraining": sites}}, {})
    assert "5.9000 -> 4.1000 nats (sites' mean code entropy 4.50)" in capsys.readouterr().out


@pytest.mark.parametrize("training", [{}, {"pretraining": {"a": {"num_steps": 3}}}])
def test_without_it_the_loss_stands_alone(
    training: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    _print_result({**FINISHED, "training": training}, {})
    printed = capsys.readouterr().out
    assert "5.9000 -> 4.1000 nats\n" in printed
    assert "entropy" not in printed
