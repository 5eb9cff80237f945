"""What sites are given after a round is what the method says of what they answered.

Read from the messages alone: a site's model is its base, with every fold since, and the adapters
of the request.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedehr_shared.model.lora.fold import apply_fold
from fedehr_shared.model.lora.vera_projections import draw_projections
from fedehr_shared.wire.codec.record import decode

METHODS = ("average", "frozen_a", "alternating", "reprojection", "stacking", "vera")
EXACT = ("frozen_a", "alternating", "reprojection", "stacking")
ROUNDS = 3
MATRICES = ("encoder.blocks.0.q", "encoder.blocks.0.down")
Dense = dict[str, NDArray[np.float64]]


@dataclass
class Round:
    """What sites had in a round, and what they answered: weights by examples, and updates."""

    weights: dict[str, Any]
    answers: list[tuple[int, dict[str, Any]]]


def _rounds(run: Any) -> list[Round]:
    """The rounds of fine-tuning, and the evaluation as one without answers."""
    rounds: dict[tuple[str, int], Round] = {}
    base: dict[str, Any] = {}
    for sent in run.messages:
        if sent.phase not in {"finetuning", "evaluation"}:
            continue
        told = {record: decode(data) for record, data in sent.payload.tensors.items()}
        key = (sent.phase, sent.round)
        if sent.direction == "down" and key not in rounds:
            base = apply_fold(told.get("base", base), told.get("fold", {}))
            rounds[key] = Round({**base, **told["model"]}, [])
        elif sent.direction == "up" and sent.phase == "finetuning":
            num_examples = sent.payload.integer("report", "num_examples")
            rounds[key].answers.append((num_examples, told["update"]))
    return list(rounds.values())


@pytest.fixture(scope="module")
def rounds_of(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> Callable[[str], tuple[Any, list[Round], list[float]]]:
    """By method, the study, its rounds, and the errors that the coordinator printed."""
    done: dict[str, Any] = {}

    def run(method: str) -> Any:
        if method not in done:
            kind = {"variant": "vera"} if method == "vera" else {"aggregation": method}
            study = make_study(
                pretraining={"rounds": 0},
                finetuning={"tuning": "lora", "rounds": ROUNDS, "steps_per_round": 3},
                lora={"rank": 3, "target_modules": ["q", "down"], "rate_factor": 10, **kind},
                exchange={"dtype": "fp32"},
            )
            folder = tmp_path_factory.mktemp(method)
            ran = run_study_in_process(study, hospitals.sites[:2], folder)
            lines = (ran.folder / "progress.jsonl").read_text().splitlines()
            entries = [json.loads(line) for line in lines]
            errors = [e["aggregation_error"] for e in entries if "aggregation_error" in e]
            done[method] = (study, _rounds(ran), errors)
        return done[method]

    return run


def _after(before: Round, answer: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """A site's weights at the end of its round."""
    return {n: w + np.float64(1) * answer.get(n, 0) for n, w in before.weights.items()}


def _effective(study: Any, weights: dict[str, Any]) -> Dense:
    """What each adapted matrix is to the model."""
    return {m: weights[f"{m}.weight"] + _change(study, m, weights) for m in MATRICES}


def _change(study: Any, matrix: str, weights: dict[str, Any]) -> NDArray[np.float64]:
    if study.lora.variant == "vera":
        num_out, num_in = weights[f"{matrix}.weight"].shape
        most = [max(weights[f"{m}.weight"].shape[side] for m in MATRICES) for side in (1, 0)]
        a, b = draw_projections(*most, study.lora.rank, study.seed)
        wide, narrow = (np.float64(weights[f"{matrix}.vera_{v}.weight"]) for v in "bd")
        return np.asarray(wide[:, None] * b[:num_out] @ (narrow[:, None] * a[:, :num_in]))
    a, b = (np.float64(weights[f"{matrix}.lora_{part}.weight"]) for part in "AB")
    return np.asarray(study.lora.scale_of(0) * b @ a)


def _mean(told: list[tuple[int, Any]]) -> Any:
    return sum(weight * value for weight, value in told) / sum(weight for weight, _ in told)


def _ideal(study: Any, before: Round) -> Dense:
    after = [(w, _effective(study, _after(before, answer))) for w, answer in before.answers]
    return {m: _mean([(w, own[m]) for w, own in after]) for m in MATRICES}


def _distance(one: Dense, other: Dense) -> float:
    return float(np.sqrt(sum(np.sum((one[m] - other[m]) ** 2) for m in MATRICES)))


@pytest.mark.parametrize("method", METHODS)
def test_sites_are_given_what_the_method_says(rounds_of: Callable[[str], Any], method: str) -> None:
    study, rounds, errors = rounds_of(method)
    assert [len(one.answers) for one in rounds] == [2] * ROUNDS + [0]
    assert len(errors) == ROUNDS
    for (before, after), error in zip(pairwise(rounds), errors, strict=True):
        ideal, effective = _ideal(study, before), _effective(study, after.weights)
        moved = _distance(ideal, _effective(study, before.weights))
        assert moved > 1e-3
        missed = _distance(effective, ideal) / moved
        assert error == pytest.approx(missed, rel=1e-2, abs=1e-4)
        assert (missed < 1e-4) == (method in EXACT)


@pytest.mark.parametrize("method", ["average", "frozen_a", "alternating", "vera"])
def test_factors_are_the_means_of_what_moved(rounds_of: Callable[[str], Any], method: str) -> None:
    _, rounds, _ = rounds_of(method)
    for number, (before, after) in enumerate(pairwise(rounds), start=1):
        moving = {name for _, answer in before.answers for name in answer}
        assert {".lora_A." in n for n in moving if "encoder." in n} == {
            "average": {True, False},
            "frozen_a": {False},
            "alternating": {number % 2 == 0},
            "vera": {False},
        }[method]
        for name, value in after.weights.items():
            told = [(w, np.float64(a[name])) for w, a in before.answers if name in a]
            expected = before.weights[name] + (_mean(told) if told else 0)
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7, err_msg=name)


def test_stacking_starts_anew_from_other_adapters_each_round(
    rounds_of: Callable[[str], Any],
) -> None:
    _, rounds, _ = rounds_of("stacking")
    for matrix in MATRICES:
        firsts = [one.weights[f"{matrix}.lora_A.weight"] for one in rounds]
        assert len({first.tobytes() for first in firsts}) == ROUNDS + 1
        assert not any(one.weights[f"{matrix}.lora_B.weight"].any() for one in rounds)
