"""Masks, losses and encodings of a finished study's weights, against other ways to get them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedehr_client.answers.site_data import SiteData
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_server.phases.model_state import first_pretraining_state
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.errors import CheckpointError
from fedehr_shared.meds.schema import HELD_OUT, TRAIN
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.weights import build_model
from fedehr_shared.tokens.collate import collate
from fedehr_simulations.ablation.masked_loss import COMMON, NamingModel, mask_held_out
from fedehr_simulations.outcome.finished_run import read_vocabulary, site_location
from fedehr_simulations.probe.encodings import encode_site
from fedehr_simulations.probe.frozen_encoder import FrozenEncoder, last_weights
from fedehr_simulations.probe.probing import ProbeRules
from fedehr_simulations.probe.run_probe import probe_run


@pytest.fixture(scope="module")
def data_of(
    make_study: Callable[..., Any],
    hospitals: Any,
    finished_study: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., SiteData]:
    """A site's records as a study sees them, with the finished study's vocabulary."""
    work = tmp_path_factory.mktemp("work")
    vocabulary = read_vocabulary(finished_study.folder)

    def read(site: int, **changes: Any) -> SiteData:
        study = make_study(**changes)
        return SiteData(site_location(study, hospitals.sites[site], work), study, vocabulary)

    return read


@pytest.fixture(scope="module")
def masks_of(
    make_study: Callable[..., Any], hospitals: Any, finished_study: Any, data_of: Any
) -> Callable[..., Any]:
    """A site's masks under a study."""
    vocabulary = read_vocabulary(finished_study.folder)

    def make(site: int, **changes: Any) -> Any:
        study = make_study(**changes)
        return mask_held_out(study, hospitals.sites[site], data_of(site, **changes), vocabulary)

    return make


@pytest.fixture(scope="module")
def pretrained(finished_study: Any) -> dict[str, Any]:
    return load_weights(
        CheckpointFolder(finished_study.folder / "checkpoints").latest("pretraining")
    )


def test_masks_are_the_same_for_every_variant_and_seed(masks_of: Callable[..., Any]) -> None:
    plain = masks_of(0)
    for changes in (
        {"seed": 5},
        {"masking": {"rate": 0.15, "whole_visit_share": 0.0}},
        {"objective": {"kind": "masked_autoencoder"}},
        {"model": {"layers": 2}, "pretraining": {"rounds": 9, "private_bias": True}},
    ):
        assert masks_of(0, **changes).digest == plain.digest
    assert masks_of(1).digest != plain.digest
    assert masks_of(0, sequence={"context": 16}).digest != plain.digest


def test_masks_hide_the_common_share_of_held_out_subjects(
    masks_of: Callable[..., Any], data_of: Callable[..., SiteData]
) -> None:
    masked, data = masks_of(0).masked, data_of(0)
    assert masked.batch.num_sequences == np.unique(data.examples(HELD_OUT).subject_ids).size
    num_events = masked.batch.tokens.numel() - 2 * masked.batch.num_sequences
    assert masked.positions.numel() / num_events == pytest.approx(COMMON.rate, abs=0.06)


def test_a_site_with_few_held_out_subjects_has_no_masks(
    make_study: Callable[..., Any], masks_of: Callable[..., Any]
) -> None:
    assert masks_of(2, vocabulary={"min_cell": 20}).masked is None


def test_the_masked_loss_is_the_cross_entropy_of_the_tied_output(
    make_study: Callable[..., Any], masks_of: Callable[..., Any], pretrained: dict[str, Any]
) -> None:
    study, masked = make_study(), masks_of(0).masked
    num_tokens = pretrained["output_bias"].size
    own = {n.removeprefix("encoder."): w for n, w in pretrained.items() if n.startswith("encoder.")}
    encoder = build_model(lambda: EventEncoder(study.model, num_tokens), own)
    with torch.inference_mode():
        encoded = encoder(masked.batch)[masked.positions].double().numpy()
    offset = np.random.default_rng(0).normal(size=num_tokens).astype(np.float32)
    model = NamingModel(study.model, ObjectiveConfig(), pretrained)
    for added in (None, offset):
        bias = pretrained["output_bias"] + (0 if added is None else added)
        logits = encoded @ own["token_embedding.weight"].T.astype(np.float64) + bias
        peak = logits.max(axis=1)
        sums = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=1))
        named = logits[np.arange(sums.size), masked.targets.numpy()]
        assert model.loss(masked, added) == pytest.approx((sums - named).mean(), rel=1e-5)


def test_what_views_were_compared_with_is_not_read(
    make_study: Callable[..., Any], masks_of: Callable[..., Any], data_of: Callable[..., SiteData]
) -> None:
    study = make_study(objective={"contrastive_weight": 0.5})
    plain, masked, num_tokens = make_study(), masks_of(0).masked, data_of(0).num_tokens
    both = first_pretraining_state(study, num_tokens).weights
    alone = {n: both[n] for n in first_pretraining_state(plain, num_tokens).weights}
    assert len(alone) < len(both)
    assert NamingModel(study.model, study.objective, both).loss(masked) == pytest.approx(
        NamingModel(plain.model, plain.objective, alone).loss(masked)
    )


def test_an_autoencoder_does_not_read_what_the_masking_shows(
    make_study: Callable[..., Any], masks_of: Callable[..., Any], data_of: Callable[..., SiteData]
) -> None:
    study = make_study(objective={"kind": "masked_autoencoder"})
    masked = masks_of(0).masked
    weights = first_pretraining_state(study, data_of(0).num_tokens).weights
    model = NamingModel(study.model, study.objective, weights)
    tokens = masked.batch.tokens.clone()
    tokens[masked.positions] = 7
    other = replace(masked, batch=replace(masked.batch, tokens=tokens))
    assert model.loss(other) == model.loss(masked)
    tokens[:] = 7
    assert model.loss(other) != model.loss(masked)


def test_encodings_are_what_heads_without_a_shortcut_read(
    make_study: Callable[..., Any], finished_study: Any, data_of: Callable[..., SiteData]
) -> None:
    study, data = make_study(finetuning={"shortcut": False}), data_of(0)
    weights = last_weights(finished_study.folder)
    for column in range(2):
        weights[f"heads.{column}.weight"] = weights[f"heads.{column}.weight"][:, :-1]
    encoder = FrozenEncoder(study.model, data.num_tokens, weights)
    encodings = encode_site(encoder, data)
    examples = data.examples(TRAIN)
    assert encodings[TRAIN].vectors.shape == (len(examples), study.model.hidden)
    assert encodings[TRAIN].subject_ids.tolist() == examples.subject_ids.tolist()
    model = build_model(lambda: FinetuningModel(study, data.num_tokens), weights).eval()
    batch = collate(data.store, examples.windows)
    assert model.wide is not None
    with torch.inference_mode():
        deep = (model(batch) - model.wide(batch)).double().numpy()
    for column in range(2):
        head = weights[f"heads.{column}.weight"].astype(np.float64)
        told = encodings[TRAIN].vectors @ head[0] + weights[f"heads.{column}.bias"]
        np.testing.assert_allclose(told, deep[:, column], rtol=1e-3, atol=1e-4)


def test_a_run_is_probed_from_its_folder_alone(
    hospitals: Any, finished_study: Any, tmp_path: Path
) -> None:
    rules = ProbeRules(min_cell=5, num_bootstraps=100, label_numbers=(None, 64), num_draws=2)
    told = probe_run(finished_study.folder, hospitals.sites, tmp_path, rules)
    assert [(s.task, s.num_labels, s.num_draws) for s in told] == [
        ("death", None, 1), ("death", 64, 2), ("long_stay", None, 1), ("long_stay", 64, 2),
    ]  # fmt: skip
    for score in told:
        low, value, high = score.auroc.low, score.auroc.value, score.auroc.high
        assert low is not None
        assert value is not None
        assert high is not None
        assert low <= value <= high
    assert probe_run(finished_study.folder, hospitals.sites, tmp_path, rules) == told


def test_a_folder_without_a_run_is_refused(hospitals: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"study\.json"):
        probe_run(tmp_path, hospitals.sites, tmp_path)
