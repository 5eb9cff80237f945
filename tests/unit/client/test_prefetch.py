"""Batches made ahead in a thread: the same ones, bounded, and never a thread left behind."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.compute import Compute
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.training import loop
from fedehr_client.training.batches import PretrainingBatches
from fedehr_client.training.finetuning import finetune_round
from fedehr_client.training.labelled_batches import LabelledBatches
from fedehr_client.training.loop import RoundContext, RoundTrainer
from fedehr_client.training.prefetch import NUM_AHEAD, prefetch
from fedehr_client.training.pretraining import pretrain_round
from fedehr_server.phases.model_state import first_finetuning_state, first_pretraining_state
from fedehr_shared.errors import TrainingError
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model
from fedehr_shared.vocabulary.vocabulary import Vocabulary

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)


def _threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("batches")]


@pytest.mark.parametrize("num_steps", [0, 1, 2, 3, 20])
def test_every_step_comes_once_and_in_order(num_steps: int) -> None:
    steps = range(7, 7 + num_steps)
    assert list(prefetch(lambda step: step * step, steps)) == [step * step for step in steps]
    assert _threads() == []


def test_the_next_batch_is_made_while_the_last_is_used() -> None:
    begun = [threading.Event() for _ in range(3)]

    def make(step: int) -> int:
        begun[step].set()
        return step

    with closing(prefetch(make, range(3))) as batches:
        next(batches)
        assert begun[1].wait(10)
        assert begun[2].wait(10)


def test_no_more_than_two_wait() -> None:
    made: list[int] = []
    with closing(prefetch(made.append, range(50))) as batches:
        for used, _ in enumerate(islice(batches, 20)):
            threading.Event().wait(0.002)
            assert len(made) <= used + 1 + NUM_AHEAD


def test_an_error_is_raised_at_its_step_and_ends_the_thread() -> None:
    def make(step: int) -> int:
        if step == 4:
            raise ZeroDivisionError("step four")
        return step

    seen: list[int] = []
    with pytest.raises(ZeroDivisionError, match="step four"):
        seen.extend(prefetch(make, range(9)))
    assert seen == [0, 1, 2, 3]
    assert _threads() == []


def test_stopping_early_makes_no_more_and_leaves_no_thread() -> None:
    made = []
    with closing(prefetch(made.append, range(1_000))) as batches:
        next(batches)
    assert _threads() == []
    assert len(made) <= 1 + NUM_AHEAD


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(hospitals: Any, make_study: Any, finished_study: Any, tmp_path_factory: Any) -> SiteData:
    vocabulary = Vocabulary.from_json((finished_study.folder / "vocabulary.json").read_text())
    site = hospitals.sites[1]
    work: Path = tmp_path_factory.mktemp("work")
    return SiteData(
        SiteLocation(site.name, site, work, 5, ONE_THREAD),
        make_study(),
        vocabulary,
    )


def _context(study: Any, data: SiteData, weights: Any) -> RoundContext:
    return RoundContext(
        study, "hospital-2", 1, data.num_tokens, weights, None, Compute(torch.device("cpu"))
    )


def _pretrain(study: Any, data: SiteData) -> Any:
    weights = first_pretraining_state(study, data.num_tokens).weights
    return pretrain_round(_context(study, data, weights), data.pretraining())


def _finetune(study: Any, data: SiteData) -> Any:
    start = first_pretraining_state(study, data.num_tokens)
    weights = first_finetuning_state(study, data.num_tokens, start, (-1.0, -1.0), dict).all_weights
    return finetune_round(_context(study, data, weights), data.store, data.training_examples())


def _one_by_one(make: Callable[[int], Any], steps: range) -> Iterator[Any]:
    for step in steps:
        yield make(step)


@pytest.mark.parametrize("train", [_pretrain, _finetune])
def test_a_round_has_the_same_bits_without_the_thread(
    make_study: Any, data: SiteData, monkeypatch: pytest.MonkeyPatch, train: Callable[..., Any]
) -> None:
    phase = {"rounds": 1, "steps_per_round": 6}
    study = make_study(pretraining=phase, finetuning={**phase, "dropout": 0.2})
    ahead = train(study, data)
    monkeypatch.setattr(loop, "prefetch", _one_by_one)
    alone = train(study, data)
    assert ahead.loss == alone.loss
    assert {n: a.tobytes() for n, a in ahead.update.items()} == {
        n: a.tobytes() for n, a in alone.update.items()
    }


def test_a_batch_depends_on_its_step_alone(make_study: Any, data: SiteData) -> None:
    study = make_study()
    masked = PretrainingBatches(study, "hospital-2", data.pretraining())
    labelled = LabelledBatches(study, "hospital-2", data.store, data.training_examples())
    forth = [(masked(step), labelled(step)) for step in range(6)]
    back = [(masked(step), labelled(step)) for step in reversed(range(6))][::-1]
    for (one, two), (again, too) in zip(forth, back, strict=True):
        assert torch.equal(one.batch.tokens, again.batch.tokens)
        assert torch.equal(one.positions, again.positions)
        assert torch.equal(two.batch.tokens, too.batch.tokens)
        torch.testing.assert_close(two.labels, too.labels, equal_nan=True, rtol=0, atol=0)
    assert len({tuple(one.positions.tolist()) for one, _ in forth}) == 6


def test_an_error_in_making_a_batch_stops_the_round(make_study: Any, data: SiteData) -> None:
    study = make_study()
    weights = first_pretraining_state(study, data.num_tokens).weights
    masked = PretrainingBatches(study, "hospital-2", data.pretraining())

    def make(step: int) -> Any:
        if step == 1:
            raise TrainingError("no batch")
        return masked(step)

    model = build_model(
        lambda: PretrainingModel(study.model, study.objective, data.num_tokens), weights
    )
    trainer = RoundTrainer(model, study.pretraining, lambda _: 1.0)
    with pytest.raises(TrainingError, match="no batch"):
        trainer.run(_context(study, data, weights), make, model)
    assert _threads() == []


def test_a_round_that_breaks_off_leaves_no_thread(make_study: Any, data: SiteData) -> None:
    study = make_study(pretraining={"steps_per_round": 50})
    first = first_pretraining_state(study, data.num_tokens).weights
    weights = {name: array * 1e30 for name, array in first.items()}
    with pytest.raises(TrainingError, match="step 1"):
        pretrain_round(_context(study, data, weights), data.pretraining())
    assert _threads() == []
