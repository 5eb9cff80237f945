"""Real rounds under each way to tune: what is frozen keeps its bits, what learns has its rate."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.compute import Compute
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_client.training.finetuning import finetune_round
from fedehr_client.training.local_state import LocalState
from fedehr_client.training.loop import RoundContext
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.tuning.plan import TuningPlan, is_adapter
from fedehr_shared.model.weights import draw_first_weights
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.moments import FIRST, SECOND_ROOT

RATE = 1e-3
LORA = {"rank": 2, "target_modules": ["q", "v", "gate", "down"]}
WAYS: dict[str, dict[str, Any]] = {
    "probe": {"tuning": "probe"},
    "probe_then_full": {"tuning": "probe_then_full", "probe_share": 0.5},
    "full": {"tuning": "full", "encoder_rate_factor": 0.1},
    "gradual": {"tuning": "gradual", "probe_share": 0.25, "layer_rate_decay": 0.5},
    "lora": {"tuning": "lora"},
    "lora_plus": {"tuning": "lora", "lora": {"b_rate_factor": 8.0, "rate_factor": 0.5}},
    "lora_fa": {"tuning": "lora", "lora": {"aggregation": "frozen_a"}},
    "alternating": {"tuning": "lora", "lora": {"aggregation": "alternating"}},
    "vera": {"tuning": "lora", "lora": {"variant": "vera"}},
}


@dataclass
class Site:
    """A site that takes one round after the other by itself."""

    study: Any
    data: SiteData
    local: LocalState | None = None

    def first_weights(self) -> Any:
        weights = draw_first_weights(FinetuningModel(self.study, self.data.num_tokens), 1)
        generator = np.random.default_rng(0)
        for name in filter(is_adapter, weights):
            drawn = generator.normal(0, 0.1, weights[name].shape)
            weights[name] = drawn.astype(np.float32)
        return weights

    def round(self, number: int, weights: Any, moments: Any = None) -> Any:
        context = RoundContext(
            self.study, "site", number, self.data.num_tokens, weights, moments,
            Compute(torch.device("cpu")), local_state=self.local,
        )  # fmt: skip
        return finetune_round(context, self.data.store, self.data.training_examples())


@pytest.fixture(scope="module")
def site_of(
    hospitals: Any, make_study: Any, finished_study: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Site]:
    """A site under a way to tune."""
    torch.set_num_threads(1)
    vocabulary = Vocabulary.from_json((finished_study.folder / "vocabulary.json").read_text())
    site = hospitals.sites[1]
    location = SiteLocation(
        site.name, site, tmp_path_factory.mktemp("work"), 5,
        ComputeConfig(device="cpu", num_threads=1),
    )  # fmt: skip

    def make(way: str, local: LocalState | None = None, **changes: Any) -> Site:
        tuning = {**WAYS[way], **changes}
        lora = tuning.pop("lora", {})
        sections = {"rounds": 4, "steps_per_round": 1, "optimizer_state": "fresh", **tuning}
        study = make_study(
            model={"layers": 2}, finetuning={"learning_rate": RATE, "wide": False, **sections},
            **({"lora": {**LORA, **lora}} if tuning["tuning"] == "lora" else {}),
        )  # fmt: skip
        return Site(study, SiteData(location, study, vocabulary), local)

    return make


@pytest.mark.parametrize("way", WAYS)
def test_frozen_tensors_keep_their_bits_and_the_others_have_their_rates(
    site_of: Callable[..., Site], way: str
) -> None:
    """AdamW's first step moves a weight by its rate, whatever its gradient."""
    plain = {"schedule": "constant", "warmup_share": 0.0, "weight_decay": 0.0}
    site = site_of(way, **plain)
    weights, plan = site.first_weights(), TuningPlan.of(site.study)
    for number in range(1, 5):
        update = site.round(number, weights).update
        for name, before in weights.items():
            change = update.get(name, np.zeros_like(before))
            factor = plan.rate_factor(name, number)
            if factor == 0:
                assert not change.any(), (name, number)
            else:
                assert np.abs(change).max() == pytest.approx(RATE * factor, rel=0.02), name


def test_what_opens_later_warms_up_by_itself(site_of: Callable[..., Site]) -> None:
    changes = {"schedule": "constant", "warmup_share": 0.5, "weight_decay": 0.0}
    site = site_of("probe_then_full", **changes, encoder_rate_factor=1.0)
    weights = site.first_weights()
    found = [site.round(number, weights).update for number in (1, 2, 3, 4)]
    name, head = "encoder.blocks.0.q.weight", "heads.0.weight"
    heights = [float(np.abs(update[name]).max()) / RATE for update in found]
    assert heights == pytest.approx([0, 0, 0.5, 1.0], rel=0.02)
    heads = [float(np.abs(update[head]).max()) / RATE for update in found]
    assert heads == pytest.approx([0.5, 1, 1, 1], rel=0.02)


def test_moments_of_what_rests_in_a_round_are_kept_for_the_next(
    site_of: Callable[..., Site], tmp_path: Path
) -> None:
    local = LocalState(tmp_path, "study", "finetuning", "vocabulary")
    site = site_of("alternating", local, optimizer_state="kept", steps_per_round=3)
    weights, kept = site.first_weights(), []
    for number in (1, 2, 3, 4):
        update = site.round(number, weights).update
        weights = {n: value + update.get(n, np.float32(0)) for n, value in weights.items()}
        kept.append(load_file(next(tmp_path.rglob(f"*{number:05d}.safetensors"))))
    a, b = (f"encoder.blocks.0.q.lora_{part}.weight" for part in "AB")
    assert f"{a}.step" not in kept[0]
    steps = [[float(state[f"{n}.step"]) for state in kept[1:]] for n in (a, b, "heads.0.weight")]
    assert steps == [[3, 3, 6], [3, 6, 6], [6, 9, 12]]
    for name, rests, before in ((a, 2, 1), (b, 1, 0)):
        assert torch.equal(kept[rests][f"{name}.first"], kept[before][f"{name}.first"])
        assert torch.equal(kept[rests][f"{name}.second"], kept[before][f"{name}.second"])


@pytest.mark.parametrize("way", ["alternating", "gradual", "probe_then_full", "vera"])
def test_averaged_moments_of_one_site_are_those_that_it_would_keep(
    site_of: Callable[..., Site], way: str, tmp_path: Path
) -> None:
    """So each parameter's moments are corrected by the steps in which it learnt itself."""
    local = LocalState(tmp_path, "study", "finetuning", "vocabulary")
    ends = []
    for state, keeper in (("kept", local), ("averaged", None)):
        site = site_of(way, keeper, optimizer_state=state, steps_per_round=3)
        # Both draw the same batches, though their studies have two digests.
        site.study = _named_alike(site.study)
        weights = site.first_weights()
        moments: dict[str, Any] = {}
        plan = TuningPlan.of(site.study)
        for number in (1, 2, 3, 4):
            done = site.round(number, weights, moments or None)
            weights = {n: v + done.update.get(n, np.float32(0)) for n, v in weights.items()}
            if done.moments is not None:
                assert set(done.moments) == {
                    name + end
                    for name in weights
                    for end in (FIRST, SECOND_ROOT)
                    if plan.is_answered(name, number)
                }
                moments |= done.moments
        ends.append(weights)
    for name, value in ends[0].items():
        np.testing.assert_allclose(ends[1][name], value, rtol=1e-4, atol=3e-6, err_msg=name)


def _named_alike(study: Any) -> Any:
    class Renamed(type(study)):  # type: ignore[misc]
        @property
        def digest(self) -> str:
            return "0" * 64

    return Renamed.model_validate(study.model_dump())


def test_local_heads_keep_their_moments_at_home(
    site_of: Callable[..., Site], tmp_path: Path
) -> None:
    local = LocalState(tmp_path, "study", "finetuning", "vocabulary")
    site = site_of("full", local, optimizer_state="averaged", local_parts=["heads"])
    done = site.round(1, site.first_weights())
    assert not any(name.startswith("heads.") for name in done.moments)
    assert any(name.startswith("encoder.") for name in done.moments)
    kept = load_file(next(tmp_path.rglob("*.safetensors")))
    assert {name.rpartition(".")[0] for name in kept} == {
        "heads.0.weight", "heads.0.bias", "heads.1.weight", "heads.1.bias",
    }  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_study_of_each_way_comes_to_its_end(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path, way: str
) -> None:
    tuning = dict(WAYS[way])
    lora = tuning.pop("lora", {})
    adapted = {"lora": {**LORA, **lora}} if tuning["tuning"] == "lora" else {}
    state = {} if way == "lora" else {"optimizer_state": "averaged"}
    study = make_study(
        pretraining={"rounds": 1}, finetuning={"rounds": 4, **tuning, **state}, **adapted
    )
    done = run_study_in_process(study, hospitals.sites[:2], tmp_path)
    assert done.result["status"] == "completed"
    plan, weights = TuningPlan.of(study), done.latest_weights
    if adapted:
        drawn = draw_first_weights(
            FinetuningModel(study, len(weights["encoder.token_embedding.weight"])),
            study.seed, "finetuning",
        )  # fmt: skip
        for name in filter(is_adapter, weights):
            same = np.allclose(weights[name], drawn[name], atol=1e-3)
            # A and VeRA's d learn nothing before B and b have left zero.
            is_slow = ".lora_A." in name or ".vera_d." in name
            assert same != plan.is_trained(name) or is_slow, name
