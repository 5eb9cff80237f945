"""`StepMemory`: what a step takes of a GPU's memory, and what still fits."""

import time
from dataclasses import replace
from typing import Any

import torch
from corpus import NUM_TOKENS, single_sequence
from step_maker import StepMaker
from step_variants import make_optimizer

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.out_of_memory import release_memory
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingModel


class StepMemory:
    """Measured by CUDA's allocator, and by trial."""

    def __init__(self, maker: StepMaker) -> None:
        self._maker = maker
        self._plan, self._compute = maker.plan, maker.compute

    def site_budget(self, size_name: str) -> dict[str, Any]:
        """What a site finds before its first round, by trial, and what it estimated."""
        from fedehr_client.compute.memory import estimate_memory
        from fedehr_client.training.fitting import fit_round
        from fedehr_client.training.round import RoundContext

        context = self._plan.contexts[0]
        study = StudyConfig.model_validate({
            "name": "bench", "model": {"size": size_name}, "sequence": {"context": context},
            "finetuning": {"tasks": ["death"]},
        })  # fmt: skip
        model = self._maker.model(study.model, self._compute)
        begin = time.perf_counter()
        asked = RoundContext(study, "site", 1, NUM_TOKENS, {}, None, self._compute)
        settled, budget = fit_round(asked, "pretraining", model, model)
        seconds = time.perf_counter() - begin
        estimate = estimate_memory(study, "pretraining", NUM_TOKENS, settled.compute)
        return {
            "size": size_name,
            "context": context,
            "token_budget": budget.num_tokens,
            "checkpointing": settled.compute.checkpointing,
            "seconds": seconds,
            "estimated_bytes_a_token": estimate.token_bytes,
            "estimated_bytes": estimate.total_bytes(budget.num_tokens or context),
        }

    def a_token(self, size_name: str) -> dict[str, Any]:
        """Bytes a token of budget and the budget that they leave room for, tried."""
        device = self._compute.device
        if device.type != "cuda":
            return {"left_out": "told by CUDA's allocator alone; see tests/benchmarks"}
        size = ModelConfig.model_validate({"size": size_name})
        found: dict[str, Any] = {"size": size_name}
        total = torch.cuda.get_device_properties(device).total_memory
        for name, checkpointing in (("kept", False), ("checkpointing", True)):
            compute = replace(self._compute, checkpointing=checkpointing)
            few, many = (self._peak(size, compute, tokens) for tokens in self._plan.memory_tokens)
            slope = (many[0] - few[0]) / (many[1] - few[1])
            budget = int((0.9 * total - few[0]) / slope) + few[1]
            fits = self._maker.fits(size, compute, self._maker.batch(budget, 512, 0))
            found |= {
                f"{name}_bytes_a_token": slope,
                f"{name}_token_budget": budget,
                f"{name}_token_budget_was_tried": "it fits" if fits else "memory ran out",
            }
        return found

    def _peak(self, size: ModelConfig, compute: Compute, tokens: int) -> tuple[int, int]:
        """Peak bytes of a step after a first one, and its tokens."""
        masked = self._maker.batch(tokens, 512, 0).to(compute.device)
        model = self._maker.model(size, compute)
        step = self._maker.stepper(model, make_optimizer(model), [masked], model)
        step()
        torch.cuda.reset_peak_memory_stats(compute.device)
        step()
        peak = torch.cuda.max_memory_allocated(compute.device)
        del step, model
        release_memory(compute.device)
        return peak, masked.batch.tokens.numel()

    def largest_model(self) -> dict[str, Any]:
        """The last of the ladder that takes a step on 4,096 tokens, checkpointing on."""
        compute = replace(self._compute, checkpointing=True, compile=False)
        masked = self._maker.batch(min(4_096, self._plan.step_tokens), self._plan.contexts[0], 0)
        found: dict[str, Any] = {}
        for layers, hidden, heads in self._plan.ladder:
            size = ModelConfig(layers=layers, hidden=hidden, heads=heads)
            if not self._maker.fits(size, compute, masked):
                return found | {"memory_ran_out_at": f"{layers} x {hidden}"}
            with torch.device("meta"):
                model = PretrainingModel(size, ObjectiveConfig(), NUM_TOKENS)
            found = {
                "fits": f"{layers} x {hidden}, {heads} heads",
                "parameters": sum(p.numel() for p in model.parameters()),
            }
        return found

    def largest_context(self, size_name: str) -> dict[str, Any]:
        """The longest single sequence that takes a step, checkpointing on."""
        compute = replace(self._compute, checkpointing=True, compile=False)
        size = ModelConfig.model_validate({"size": size_name})
        found: dict[str, Any] = {"size": size_name}
        for length in self._plan.lengths:
            if not self._maker.fits(size, compute, single_sequence(length)):
                return found | {"memory_ran_out_at": length}
            found["fits"] = length
        return found
