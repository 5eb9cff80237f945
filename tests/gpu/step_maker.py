"""`StepMaker`: models, batches and steps of a GPU benchmark, and whether memory suffices."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from benchmark_plan import Plan
from corpus import NUM_TOKENS, Corpus
from step_variants import make_optimizer

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.out_of_memory import is_out_of_memory, release_memory
from fedehr_client.compute.precision import autocast
from fedehr_client.compute.prepare import prepare_model
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.tokens.masking import MaskedBatch


class StepMaker:
    """What all parts of the benchmark take steps with."""

    def __init__(self, plan: Plan, compute: Compute, corpus: Corpus) -> None:
        self.plan, self.compute, self.corpus = plan, compute, corpus

    def model(self, size: ModelConfig, compute: Compute) -> PretrainingModel:
        """A new model on the device, set to compute so."""
        with torch.device(compute.device):
            model = PretrainingModel(size, ObjectiveConfig(), NUM_TOKENS)
        with torch.no_grad():  # torch draws embeddings too large for tied ones
            for name, parameter in model.named_parameters():
                if "embedding" in name:
                    parameter.mul_(0.02)
        prepare_model(model, compute)
        return model.train()

    def batch(self, tokens: int, context: int, seed: int) -> MaskedBatch:
        """Typical subjects of about so many tokens, masked."""
        num = max(2, round(tokens / (1 + self.corpus.num_events(context).mean())))
        rows = self.corpus.typical_rows(num, context)
        return self.corpus.masked_batch(rows, context, MaskingConfig(), seed)

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize(self.compute.device)

    def stepper(
        self, model: Any, optimizer: Any, pieces: Sequence[Any], loss_of: Callable[[Any], Any]
    ) -> Callable[[], float]:
        """A step over the pieces, whose gradients add up; the device is waited for once."""

        def step() -> float:
            optimizer.zero_grad(set_to_none=True)
            losses = []
            for piece in pieces:
                with autocast(self.compute.device, self.compute.precision):
                    loss = loss_of(piece)
                loss.backward()
                losses.append(loss.detach())
            optimizer.step()
            return float(torch.stack(losses).sum())

        return step

    def fitting(
        self,
        model: Any,
        split: Callable[[int], Sequence[Any]],
        tokens: int,
        loss_of: Callable[[Any], torch.Tensor] | None = None,
    ) -> Callable[[], float]:
        """A step that was taken twice, in pieces of `tokens` or of the largest half that fits."""
        optimizer = make_optimizer(model)
        while True:
            pieces = [piece.to(self.compute.device) for piece in split(tokens)]
            step = self.stepper(model, optimizer, pieces, loss_of or model)
            if self.takes(step):
                return step
            tokens //= 2
            if not tokens:
                raise MemoryError("not even a single sequence fits")

    def takes(self, step: Callable[[], float]) -> bool:
        """Whether there is memory for a first step, which compiles, and a second."""
        takes = True
        try:
            step()
            step()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            takes = False
        release_memory(self.compute.device)  # not in the handler, whose frames hold memory
        return takes

    def fits(self, size: ModelConfig, compute: Compute, masked: MaskedBatch) -> bool:
        """Whether two steps can be taken on the batch in one piece."""

        def step() -> float:
            if not steps:  # weights may already be too large
                model = self.model(size, compute)
                piece = masked.to(compute.device)
                steps.append(self.stepper(model, make_optimizer(model), [piece], model))
            return steps[0]()

        steps: list[Callable[[], float]] = []
        fits = self.takes(step)
        steps.clear()
        release_memory(compute.device)
        return fits
