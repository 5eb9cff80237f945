"""Training on a CUDA device: bf16 learns, the trial finds what fits, and misfits are survived."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedehr_client.compute.budget_record import FILE_NAME
from fedehr_client.compute.compute import choose_compute
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.training.fitting import fit_round
from fedehr_client.training.loop import RoundTrainer
from fedehr_client.training.round import RoundContext
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model, draw_first_weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
VOCABULARY = 2_000


def _study(**more: Any) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "gpu",
            "model": {"size": "base"},
            "sequence": {"context": 512},
            "pretraining": {"rounds": 1, "steps_per_round": 10, "learning_rate": 1e-3},
            "finetuning": {"tasks": ["a"]},
            **more,
        }
    )


def _start(study: StudyConfig, work: Path | None, **compute: Any) -> tuple[RoundContext, Any]:
    weights = draw_first_weights(PretrainingModel(study.model, study.objective, VOCABULARY), 1)
    chosen = choose_compute(ComputeConfig(device="cuda", **compute), study)
    context = RoundContext(study, "site", 1, VOCABULARY, weights, None, chosen, work=work)
    model = build_model(lambda: PretrainingModel(study.model, study.objective, VOCABULARY), weights)
    return context, model.to("cuda")


def _train(context: RoundContext, model: Any, num_tokens: int, budget: Any = None) -> Any:
    batch = worst_pieces(context.study, "pretraining", VOCABULARY, num_tokens)[0]
    trainer = RoundTrainer(model, context.study.pretraining, lambda _: 1.0)
    return trainer.run(context, lambda _: batch, model, budget=budget)


@pytest.mark.parametrize("attention", ["auto", "sdpa"])
@pytest.mark.parametrize("compiled", ["off", "auto"])
def test_bf16_learns_as_fp32_does(attention: Any, compiled: Any) -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("no units for bf16")
    low, model = _start(_study(), None, attention=attention, compile=compiled, token_budget=8_192)
    assert low.compute.precision == "bf16"
    full, reference = _start(
        _study(), None, precision="fp32", attention="sdpa", compile="off", token_budget=8_192
    )
    found, expected = _train(low, model, 16_384), _train(full, reference, 16_384)
    assert found.loss == pytest.approx(expected.loss, rel=2e-2)


def test_a_budget_found_by_trial_runs_and_is_kept(tmp_path: Path) -> None:
    context, model = _start(_study(), tmp_path)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fitted, budget = fit_round(context, "pretraining", model, model)
    assert budget.num_tokens is not None
    assert budget.num_tokens >= 512
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert (tmp_path / FILE_NAME).is_file()
    done = _train(fitted, model, budget.num_tokens, budget)
    assert done.num_steps == 10
    assert budget.num_tokens == fitted.compute.token_budget
    again, _ = fit_round(context, "pretraining", model, model)
    assert again.compute == fitted.compute


def test_memory_that_runs_out_lowers_the_budget_and_keeps_the_weights() -> None:
    study = _study()
    context, model = _start(study, None, precision="fp32", attention="sdpa", compile="off")
    plain = replace(context, compute=replace(context.compute, token_budget=2_048))
    expected = _train(plain, model, 65_536)
    _, again = _start(study, None, precision="fp32", attention="sdpa", compile="off")
    total = torch.cuda.get_device_properties(0).total_memory
    held = torch.cuda.memory_reserved()
    budget = TokenBudget(None)
    torch.cuda.set_per_process_memory_fraction(min(1.0, (held + 2_000_000_000) / total))
    try:
        found = _train(context, again, 65_536, budget)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert budget.num_tokens is not None
    assert budget.num_tokens < 65_536
    assert found.loss == pytest.approx(expected.loss, rel=1e-3)


def test_deterministic_rounds_have_the_same_bits() -> None:
    def update() -> dict[str, bytes]:
        context, model = _start(_study(), None, deterministic=True, token_budget=8_192)
        return {n: a.tobytes() for n, a in _train(context, model, 16_384).update.items()}

    try:
        assert update() == update()
    finally:
        torch.use_deterministic_algorithms(False)
