"""What a rehearsal says of its losses."""

import pytest

from fedehr_client.rehearsal.exam import Exam
from fedehr_client.rehearsal.verdict import Verdict

GOOD, POOR = Exam(loss=3.0, reference=4.5), Exam(loss=4.6, reference=4.5)


@pytest.mark.parametrize(
    ("training", "held_out", "learned", "said"),
    [
        (GOOD, GOOD, True, "learned: 1.50 nats below the code frequencies on the tuning split"),
        (GOOD, None, True, "learned: 1.50 nats below the code frequencies in training"),
        (GOOD, POOR, False, "by heart"),
        (POOR, POOR, False, "learned nothing beyond the code frequencies"),
        (POOR, None, False, "learned nothing beyond the code frequencies"),
        (Exam(4.47, 4.5), None, False, "learned nothing"),
    ],
)
def test_the_tuning_split_judges_where_there_is_one(
    training: Exam, held_out: Exam | None, learned: bool, said: str
) -> None:
    verdict = Verdict(training, held_out, names_events=True)
    assert verdict.learned is learned
    assert said in verdict.sentence


def test_an_objective_that_names_nothing_is_held_against_chance() -> None:
    assert "below chance" in Verdict(GOOD, GOOD, names_events=False).sentence
