"""Attacks on models that real studies left: found where they learnt by heart, hidden by noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.site_data import SiteData
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.reader import read_events, read_splits
from fedehr_simulations.arms.federated import FederatedRun
from fedehr_simulations.arms.workers import Workers
from fedehr_simulations.attacks.canaries import FIRST_ID, Canaries, common_codes
from fedehr_simulations.attacks.covered import bound_of
from fedehr_simulations.attacks.inversion.recovery import StepAttack
from fedehr_simulations.attacks.inversion.seen_update import seen_update
from fedehr_simulations.attacks.inversion.token_rows import row_sizes
from fedehr_simulations.attacks.membership import attack_membership
from fedehr_simulations.attacks.plan import AttackPlan
from fedehr_simulations.attacks.pretrained_model import pretrained_confidences
from fedehr_simulations.attacks.trials.studies import finetuning_study, lora_study
from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import read_vocabulary, site_location


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> FederationFolder:
    path = tmp_path_factory.mktemp("attacked") / "hospitals"
    write_hospitals(path, HospitalsPlan(num_subjects=300, num_sites=2, seed=0, size_ratio=1))
    return FederationFolder(path)


@pytest.fixture(scope="module")
def overfitted(federation: FederationFolder, tmp_path_factory: pytest.TempPathFactory) -> Any:
    study = finetuning_study(None, 10)
    folder = tmp_path_factory.mktemp("overfitted")
    run = FederatedRun("federated", study, federation.path, folder, folder / "asked")
    run_in_process(study, federation.sites, run.run_folder, folder / "training", num_threads=1)
    return run


def _attacks(run: Any, federation: FederationFolder, plan: AttackPlan, work: Path) -> Any:
    with Workers(lambda *_: None, 1) as workers:
        return attack_membership(plan, run, federation.sites, workers, work)


def test_members_of_a_model_that_knows_them_by_heart_are_found(
    overfitted: Any, federation: FederationFolder, tmp_path: Path
) -> None:
    loss, ratio = _attacks(overfitted, federation, AttackPlan("lira", 4), tmp_path)
    assert (loss.attack, ratio.attack, ratio.num_shadows) == ("loss", "lira", 4)
    assert loss.model == ratio.model == "finetuned"
    assert loss.bound is None
    splits = [split for site in federation.sites for split in read_splits(site).values()]
    assert loss.num_members == splits.count("train")
    assert loss.num_non_members == splits.count("held_out")
    assert ratio.auroc.low > 0.5
    assert max(loss.auroc.value, ratio.auroc.value) > 0.6


def _step_attack(study: StudyConfig, run: Path, site: Any, work: Path) -> StepAttack:
    data = SiteData(site_location(study, site, work), study, read_vocabulary(run))
    weights = load_weights(CheckpointFolder(run / "checkpoints").latest("finetuning"))
    return StepAttack(study, data, weights)


def test_one_step_gives_a_subject_away_and_noise_takes_it_back(
    overfitted: Any, federation: FederationFolder, tmp_path: Path
) -> None:
    attack = _step_attack(overfitted.study, overfitted.run_folder, federation.sites[0], tmp_path)
    alone = attack.by_rows(1, 4, None)
    assert (alone.precision, alone.recall) == (1.0, 1.0)
    among = attack.by_rows(16, 4, None)
    assert among.recall == 1.0
    assert among.precision < 0.5
    noisy = attack.by_rows(1, 4, Mechanism(1.0, 1.0, 20.0))
    assert noisy.recall < 0.5
    # With next to no noise the same reading finds all again: it is the noise that hides.
    bare = attack.by_rows(1, 4, Mechanism(1e-6, 1.0, 20.0))
    assert bare.recall > 0.9


def test_adapters_show_no_table_of_tokens(federation: FederationFolder, tmp_path: Path) -> None:
    study = lora_study()
    run_in_process(study, federation.sites, tmp_path / "run", tmp_path / "work", num_threads=1)
    attack = _step_attack(study, tmp_path / "run", federation.sites[0], tmp_path / "asked")
    weights, data = attack._weights, attack._data
    seen = seen_update(study, data.num_tokens, weights, attack._step(1, 0), None)
    assert row_sizes(seen.gradients) is None
    assert not any("embedding" in name for name in seen.gradients)
    found = attack.by_matching(1, None)
    assert 0 <= found.precision <= 1


def test_canaries_are_planted_in_one_train_split_and_nowhere_else(
    federation: FederationFolder, make_study: Any, tmp_path: Path
) -> None:
    site = federation.sites[0]
    canaries = Canaries(planted=3, references=20, num_events=6)
    planted = canaries.plant(site, tmp_path / "records", 5)
    ids = {FIRST_ID, FIRST_ID + 1, FIRST_ID + 2}
    before, after = read_splits(site), read_splits(planted)
    assert {s for s in after if s not in before} == ids
    assert {after[s] for s in ids} == {"train"}
    assert {s: after[s] for s in before} == before
    events = read_events(planted)
    assert len(events) == len(read_events(site)) + 3 * 7
    apart = canaries.write_apart(site, tmp_path / "apart", 5)
    own = read_events(apart)
    assert np.unique(own.subject_ids).size == 23
    codes = {own.codes[place] for place in own.code_indices} - {"MEDS_BIRTH"}
    assert codes <= set(common_codes(site, 5))
    is_canary = events.subject_ids >= FIRST_ID
    told = [events.codes[place] for place in events.code_indices[is_canary]]
    of_three = own.subject_ids < FIRST_ID + 3
    assert told == [own.codes[place] for place in own.code_indices[of_three]]

    study = make_study(finetuning={"rounds": 0}, vocabulary={"min_sites": 1, "min_cell": 5})
    sites = [planted, *federation.sites[1:]]
    run_in_process(study, sites, tmp_path / "run", tmp_path / "work", num_threads=1)
    asked = pretrained_confidences(study, tmp_path / "run", apart, tmp_path / "asked", 2)
    again = pretrained_confidences(study, tmp_path / "run", apart, tmp_path / "asked", 2)
    assert asked.losses.shape == (23, 1)
    assert np.isfinite(asked.losses).all()
    np.testing.assert_array_equal(asked.losses, again.losses)


def test_the_bound_covers_what_noise_covers(make_study: Any) -> None:
    private = {
        "mechanism": "local", "target_epsilon": 2.0, "target_delta": 1e-5, "nominal_subjects": 200,
    }  # fmt: skip
    both = make_study(privacy=private)
    bounds = {model: bound_of(both, model) for model in ("pretrained", "finetuned")}
    assert bounds["pretrained"] is not None
    assert bounds["finetuned"] is not None
    assert 0 < bounds["pretrained"].epsilon < bounds["finetuned"].epsilon <= 2.0
    assert bounds["finetuned"].epsilon > 1.9
    half = make_study(privacy={**private, "phases": ["finetuning"]})
    # The pre-trained weights, without noise, are within the fine-tuned model.
    assert bound_of(half, "finetuned") is None
    assert bound_of(half, "pretrained") is None
    assert bound_of(make_study(), "finetuned") is None


@pytest.mark.long
def test_noise_hides_who_was_in_the_training(federation: FederationFolder, tmp_path: Path) -> None:
    study = finetuning_study(1.0, 10)
    run = FederatedRun("federated", study, federation.path, tmp_path, tmp_path / "asked")
    run_in_process(study, federation.sites, run.run_folder, tmp_path / "training", num_threads=1)
    for attack in _attacks(run, federation, AttackPlan("lira", 4), tmp_path / "attack"):
        assert attack.bound is not None
        assert attack.bound.epsilon <= 1.0
        assert attack.auroc.low < 0.5
        assert attack.auroc.value < attack.bound.auroc
