"""A site's batches of pre-training, by the study's objective."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedehr_client.answers.site_data import SiteData
from fedehr_client.check.vocabulary import own_vocabulary
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.training.batches import PretrainingBatches, PretrainingData
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model, draw_first_weights
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.tokens.visible import VisibleBatch

KINDS: dict[str, dict[str, Any]] = {
    "masked_events": {},
    "masked_autoencoder": {"kind": "masked_autoencoder"},
    "contrastive": {"kind": "contrastive"},
    "both": {"contrastive_weight": 0.5, "contrastive_group": 5},
    "autoencoder_and_views": {"kind": "masked_autoencoder", "contrastive_weight": 0.5},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(hospitals: Any, make_study: Any, tmp_path_factory: Any) -> PretrainingData:
    site, study = hospitals.sites[1], make_study()
    vocabulary = own_vocabulary(site, study, 5)
    work: Path = tmp_path_factory.mktemp("work")
    location = SiteLocation(site.name, site, work, 5, ComputeConfig(device="cpu", num_threads=1))
    return SiteData(location, study, vocabulary).pretraining()


def _study(make_study: Callable[..., StudyConfig], kind: str, **changes: Any) -> StudyConfig:
    return make_study(objective=KINDS[kind], **changes)


def _tensors(batch: Any) -> list[torch.Tensor]:
    if isinstance(batch, ViewPairs):
        return _tensors(batch.views)
    if isinstance(batch, VisibleBatch):
        return [batch.batch.tokens, batch.places, *_tensors(batch.masked)]
    return [batch.batch.tokens, batch.positions, batch.targets]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_follows_from_study_site_and_step(
    make_study: Any, data: PretrainingData, kind: str
) -> None:
    study = _study(make_study, kind)
    batches = PretrainingBatches(study, "one", data)
    forth = [_tensors(batches(step)) for step in range(4)]
    anew = PretrainingBatches(study, "one", data)
    back = [_tensors(anew(step)) for step in reversed(range(4))][::-1]
    for one, again in zip(forth, back, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    elsewhere = _tensors(PretrainingBatches(study, "two", data)(0))
    other_study = _tensors(PretrainingBatches(study.with_seed(9), "one", data)(0))
    seen = {tuple(tensors[-2].tolist()) for tensors in (*forth, elsewhere, other_study)}
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("kind", "outer", "inner"),
    [
        ("masked_events", MaskedBatch, MaskedBatch),
        ("masked_autoencoder", VisibleBatch, VisibleBatch),
        ("contrastive", ViewPairs, MaskedBatch),
        ("both", ViewPairs, MaskedBatch),
        ("autoencoder_and_views", ViewPairs, VisibleBatch),
    ],
)
def test_each_objective_has_its_kind_of_batch(
    make_study: Any, data: PretrainingData, kind: str, outer: type, inner: type
) -> None:
    batch: Any = PretrainingBatches(_study(make_study, kind), "one", data)(0)
    assert type(batch) is outer
    assert type(batch.views if isinstance(batch, ViewPairs) else batch) is inner


@pytest.mark.parametrize("kind", ["masked_events", "both"])
def test_the_plan_decides_who_is_seen_and_which_window(
    make_study: Any, data: PretrainingData, kind: str
) -> None:
    study = _study(make_study, kind)
    asked: list[int] = []

    def rows(step: int) -> Any:
        asked.append(step)
        return np.asarray([3, 1])

    batches = PretrainingBatches(study, "one", data, rows, lambda step: step)
    batch: Any = batches(7)
    views = batch.views if isinstance(batch, ViewPairs) else batch
    assert asked == [7]
    assert views.batch.num_sequences == 2 * study.objective.num_views
    most = study.sequence.context - 1
    offsets = data.store.offsets
    lengths = [min(most, int(offsets[r + 1] - offsets[r])) + 1 for r in data.rows[[3, 1]]]
    assert (
        np.diff(views.batch.boundaries).tolist()
        == np.repeat(lengths, study.objective.num_views).tolist()
    )


def test_views_are_the_same_window_masked_apart(make_study: Any, data: PretrainingData) -> None:
    batch: Any = PretrainingBatches(_study(make_study, "contrastive"), "one", data)(0)
    differ = 0
    for number in range(0, batch.views.batch.num_sequences, 2):
        one, other = (batch.views.batch.cut(range(n, n + 1)) for n in (number, number + 1))
        for field in ("hours", "ages", "visits", "sexes"):
            assert torch.equal(getattr(one, field), getattr(other, field))
        differ += not torch.equal(one.tokens, other.tokens)
    assert differ > batch.views.batch.num_sequences / 4


def test_an_autoencoder_hides_its_own_share(make_study: Any, data: PretrainingData) -> None:
    for share in (0.5, 0.75):
        study = make_study(
            objective={"kind": "masked_autoencoder", "hidden_share": share},
            masking={"rate": 0.1},
        )
        batches = PretrainingBatches(study, "one", data)
        num_hidden = num_events = 0
        for step in range(8):
            batch: Any = batches(step)
            num_hidden += batch.masked.positions.numel()
            num_events += int(data.is_maskable[batch.masked.targets.numpy()].sum())
            num_events += int(data.is_maskable[batch.batch.tokens.numpy()].sum())
            assert data.is_maskable[batch.masked.targets.numpy()].all()
        assert num_hidden / num_events == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_site_makes_can_be_trained_on(
    make_study: Any, data: PretrainingData, kind: str
) -> None:
    study, num_tokens = _study(make_study, kind), data.code_of_token.size

    def make() -> PretrainingModel:
        return PretrainingModel(study.model, study.objective, num_tokens)

    model = build_model(make, draw_first_weights(make(), 1))
    batch: Any = PretrainingBatches(study, "one", data)(0)
    loss = sum(model(piece) for piece in batch.to(torch.device("cpu")).split(200))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in model.parameters())
