"""Rounds of training: repeatable, continued exactly, stopped before anything bad is sent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.compute import Compute
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.training.finetuning import finetune_round
from fedehr_client.training.loop import RoundContext, RoundResult
from fedehr_client.training.prediction import predict
from fedehr_client.training.pretraining import pretrain_round
from fedehr_server.phases.model_state import first_finetuning_state, first_pretraining_state
from fedehr_shared.errors import TrainingError, WireError
from fedehr_shared.meds.schema import HELD_OUT
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.moments import FIRST, SECOND_ROOT

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)

CPU = Compute(torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def vocabulary(finished_study: Any) -> Vocabulary:
    return Vocabulary.from_json((finished_study.folder / "vocabulary.json").read_text())


@pytest.fixture(scope="module")
def data(
    hospitals: Any, make_study: Any, vocabulary: Vocabulary, tmp_path_factory: Any
) -> SiteData:
    site = hospitals.sites[1]
    work: Path = tmp_path_factory.mktemp("work")
    return SiteData(
        SiteLocation(site.name, site, work, 5, ONE_THREAD),
        make_study(),
        vocabulary,
    )


def _context(
    study: Any, data: SiteData, weights: Any, number: int = 1, **more: Any
) -> RoundContext:
    return RoundContext(
        study, more.pop("site", "hospital-2"), number, data.num_tokens, weights,
        more.pop("moments", None), CPU,
    )  # fmt: skip


def _bits(tensors: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in tensors.items()}


def _pretrain(study: Any, data: SiteData, number: int = 1, **more: Any) -> RoundResult:
    weights = more.pop("weights", None) or first_pretraining_state(study, data.num_tokens).weights
    return pretrain_round(_context(study, data, weights, number, **more), data.pretraining())


def _finetune(study: Any, data: SiteData, number: int = 1, **more: Any) -> RoundResult:
    start = first_pretraining_state(study, data.num_tokens)
    first = first_finetuning_state(study, data.num_tokens, start, (-1.0, -1.0), dict).all_weights
    weights = more.pop("weights", None) or first
    context = _context(study, data, weights, number, **more)
    return finetune_round(context, data.store, data.training_examples())


@pytest.mark.parametrize("train", [_pretrain, _finetune])
def test_a_round_done_again_has_the_same_bits(
    make_study: Any, data: SiteData, train: Callable[..., RoundResult]
) -> None:
    study = make_study(finetuning={"dropout": 0.2})
    once = train(study, data)
    torch.manual_seed(99)
    again = train(study, data)
    assert _bits(again.update) == _bits(once.update)
    assert again.loss == once.loss
    assert any(array.any() for array in once.update.values())
    # Another seed is another study: other batches and masks from the same weights.
    other = train(study.with_seed(5), data, weights=_first(study, data, train))
    assert _bits(other.update) != _bits(once.update)


def _first(study: Any, data: SiteData, train: Callable[..., RoundResult]) -> Any:
    state = first_pretraining_state(study, data.num_tokens)
    if train is _pretrain:
        return state.weights
    return first_finetuning_state(study, data.num_tokens, state, (-1.0, -1.0), dict).all_weights


def test_sites_and_rounds_draw_for_themselves(make_study: Any, data: SiteData) -> None:
    study = make_study()
    one = _pretrain(study, data).update
    assert _bits(_pretrain(study, data, site="other").update) != _bits(one)
    assert _bits(_pretrain(study, data, 2).update) != _bits(one)


def test_two_rounds_continue_where_one_left_off(make_study: Any, data: SiteData) -> None:
    """Fine-tuning draws nothing between steps, so two rounds of 2 are one of 4."""
    sections = {"rounds": 2, "steps_per_round": 2}
    parted = make_study(finetuning=sections)
    first = _finetune(parted, data)
    start = _first(parted, data, _finetune)
    between = {name: start[name] + first.update[name] for name in start}
    second = _finetune(parted, data, 2, weights=between, moments=first.moments)
    whole = make_study(finetuning={"rounds": 1, "steps_per_round": 4})
    at_once = _finetune(_with_digest_of(whole, parted), data, weights=start)
    for name in start:
        np.testing.assert_allclose(
            between[name] + second.update[name], start[name] + at_once.update[name],
            rtol=1e-4, atol=2e-6,
        )  # fmt: skip
    fresh = _finetune(parted, data, 2, weights=between)
    assert any(
        np.abs(fresh.update[name] - second.update[name]).max() > 1e-4 for name in fresh.update
    )


def _with_digest_of(study: Any, other: Any) -> Any:
    """`study` that names itself by another's digest, so that both draw the same batches."""

    class Renamed(type(study)):  # type: ignore[misc]
        @property
        def digest(self) -> str:
            return str(other.digest)

    return Renamed.model_validate(study.model_dump())


def test_fresh_moments_do_not_travel(make_study: Any, data: SiteData) -> None:
    study = make_study(pretraining={"optimizer_state": "fresh"})
    assert _pretrain(study, data).moments is None
    moments = _pretrain(make_study(), data).moments
    assert moments is not None
    names = first_pretraining_state(study, data.num_tokens).weights
    assert set(moments) == {name + end for name in names for end in (FIRST, SECOND_ROOT)}
    assert all(m.min() >= 0 for name, m in moments.items() if name.endswith(SECOND_ROOT))


def test_moments_that_do_not_fit_are_refused(make_study: Any, data: SiteData) -> None:
    study = make_study()
    moments = _pretrain(study, data).moments
    assert moments is not None
    name = "output_bias" + FIRST
    for broken in (
        {n: m for n, m in moments.items() if n != name},
        {**moments, name: moments[name][:-1]},
    ):
        with pytest.raises(WireError, match="moments"):
            _pretrain(study, data, 2, moments=broken)


def test_a_factor_of_zero_trains_the_heads_alone(make_study: Any, data: SiteData) -> None:
    study = make_study(finetuning={"tuning": "probe"})
    result = _finetune(study, data)
    moved = {name for name, array in result.update.items() if array.any()}
    assert any(name.startswith("heads.") for name in moved)
    assert not any(name.startswith("encoder.") for name in moved)
    assert result.moments is not None
    assert not any(name.startswith("encoder.") for name in result.moments)
    again = _finetune(study, data, 2, moments=result.moments)
    assert not any(a.any() for n, a in again.update.items() if n.startswith("encoder."))


def test_a_rate_ten_times_lower_moves_the_encoder_less(make_study: Any, data: SiteData) -> None:
    def moved(factor: float) -> float:
        update = _finetune(make_study(finetuning={"encoder_rate_factor": factor}), data).update
        return float(np.abs(update["encoder.blocks.0.q.weight"]).max())

    assert moved(0.1) < moved(1.0) / 5


@pytest.mark.parametrize("train", [_pretrain, _finetune])
def test_an_overflow_stops_the_round(
    make_study: Any, data: SiteData, train: Callable[..., RoundResult]
) -> None:
    study = make_study()
    weights = {name: a * np.float32(1e30) for name, a in _first(study, data, train).items()}
    with pytest.raises(TrainingError, match="step 1") as stopped:
        train(study, data, weights=weights)
    assert stopped.value.code == "training"


def test_scores_that_are_no_numbers_are_told(make_study: Any, data: SiteData) -> None:
    study = make_study()
    weights = dict(_first(study, data, _finetune))
    down, gate = (f"encoder.blocks.0.{name}.weight" for name in ("down", "gate"))
    weights[down] = np.where(weights[down] > 0, 3e38, -3e38).astype(np.float32)
    weights[gate] = weights[gate] * np.float32(1e4)
    with pytest.raises(TrainingError, match="scores"):
        predict(
            study, data.store, data.examples(HELD_OUT),
            num_tokens=data.num_tokens, weights=weights, compute=CPU,
        )  # fmt: skip


def test_scores_are_chances_and_do_not_depend_on_their_neighbours(
    make_study: Any, data: SiteData
) -> None:
    study, examples = make_study(), data.examples(HELD_OUT)
    weights = _first(study, data, _finetune)
    scores = predict(
        study, data.store, examples, num_tokens=data.num_tokens, weights=weights, compute=CPU
    )
    assert scores.shape == (len(examples), 2)
    assert scores.min() > 0
    assert scores.max() < 1
    half = type(examples)(
        examples.subject_ids[::2], examples.prediction_times[::2],
        examples.windows[::2], examples.labels[::2],
    )  # fmt: skip
    alone = predict(
        study, data.store, half, num_tokens=data.num_tokens, weights=weights, compute=CPU
    )
    np.testing.assert_allclose(alone, scores[::2], atol=1e-6)


def test_training_learns(make_study: Any, data: SiteData) -> None:
    sections = {"rounds": 1, "steps_per_round": 40, "steps_per_epoch": 2}
    masked = _pretrain(make_study(pretraining=sections), data)
    short = _pretrain(make_study(pretraining={**sections, "steps_per_round": 2}), data)
    assert masked.loss < short.loss - 0.2
    assert masked.num_steps == 40
