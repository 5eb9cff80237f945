"""`StepRates`: how quick a step is, beside the matrix rate and transformers' BERT."""

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from bert import PaddedBatch, make_bert
from corpus import NUM_TOKENS
from step_flops import StepFlops
from step_maker import StepMaker
from step_variants import make_optimizer

from fedehr_client.training.prefetch import prefetch
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.tokens.masking import MaskedBatch

NUM_PRODUCTS = 8


class StepRates:
    """Events a second of wall time, variants interleaved, medians of the rounds."""

    def __init__(self, maker: StepMaker) -> None:
        self._maker = maker
        self._plan, self._compute, self._corpus = maker.plan, maker.compute, maker.corpus

    def measure(self, size_name: str, context: int) -> dict[str, Any]:
        """Rates of a step, ours and BERT's, beside the matrix rate; and the wait for batches."""
        size = ModelConfig.model_validate({"size": size_name})
        masked = self._maker.batch(self._plan.step_tokens, context, 0)
        num_events = masked.batch.tokens.numel() - masked.batch.num_sequences
        steps = {"matmul": self._products(), **self._ours(size, masked)}
        if find_spec("transformers") is None:
            note = {"bert": "left out: transformers is not installed"}
        else:
            note = {}
            steps |= self._bert(size, masked, context)
        seconds = self._interleaved(steps)
        flops = StepFlops.of(size, NUM_TOKENS, masked.batch.boundaries, masked.hidden.boundaries)
        matmul_rate = NUM_PRODUCTS * 2 * self._plan.matmul**3 / seconds.pop("matmul")
        found: dict[str, Any] = {
            "size": size_name, "context": context, "events": num_events,
            "step_tokens": masked.batch.tokens.numel(), "matmul_tflops": matmul_rate / 1e12, **note,
        }  # fmt: skip
        for name, taken in seconds.items():
            found[f"{name}_events_a_second"] = num_events / taken
            if name.startswith("ours"):
                found[f"{name}_share_of_matmul"] = flops.total / taken / matmul_rate
            else:
                found[f"ours_to_{name}"] = taken / seconds["ours"]
        return found | {"loader_wait_share": self._loader_wait(size, context)}

    def _interleaved(self, steps: dict[str, Callable[[], Any]]) -> dict[str, float]:
        """Median wall seconds of each."""
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(self._plan.rounds):
            for name, step in steps.items():
                self._maker.wait()
                begin = time.perf_counter()
                step()
                self._maker.wait()
                seconds[name].append(time.perf_counter() - begin)
        return {name: statistics.median(taken) for name, taken in seconds.items()}

    def _products(self) -> Callable[[], None]:
        """Some products of two square matrices in the precision of the steps. One alone would
        take little longer than the wait for it, which the rate is not to be lowered by."""
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        shape = (3, self._plan.matmul, self._plan.matmul)
        dtype = dtypes[self._compute.precision]
        left, right, out = torch.randn(shape, device=self._compute.device, dtype=dtype).unbind()

        def multiply() -> None:
            for _ in range(NUM_PRODUCTS):
                torch.mm(left, right, out=out)

        multiply()  # chooses its kernel
        return multiply

    def _ours(self, size: ModelConfig, masked: MaskedBatch) -> dict[str, Callable[[], Any]]:
        """As the hardware asks for, and with layers not compiled where that means compiled."""
        computes = {"ours": self._compute}
        if self._compute.compile:
            computes["ours_not_compiled"] = replace(self._compute, compile=False)
        return {
            name: self._maker.fitting(
                self._maker.model(size, compute), masked.split, self._plan.step_tokens
            )
            for name, compute in computes.items()
        }

    def _bert(
        self, size: ModelConfig, masked: MaskedBatch, context: int
    ) -> dict[str, Callable[[], Any]]:
        """With dropout off, and 0.1 as it comes; in pieces, whose gradients add up."""

        def split(tokens: int) -> list[PaddedBatch]:
            columns = vars(PaddedBatch.of(masked, context)).values()
            pieces = (torch.split(column, max(1, tokens // context)) for column in columns)
            return [PaddedBatch(*piece) for piece in zip(*pieces, strict=True)]

        found = {}
        for name, dropout in (("bert", 0.0), ("bert_default", 0.1)):
            model = make_bert(size, NUM_TOKENS, context, dropout).to(self._compute.device)

            def loss_of(piece: PaddedBatch, model: Any = model) -> torch.Tensor:
                return piece.dense_loss(model)

            found[name] = self._maker.fitting(model, split, self._plan.bert_tokens, loss_of)
        return found

    def _loader_wait(self, size: ModelConfig, context: int) -> float:
        """The share of time that steps wait for their batch, made ahead by one thread."""
        device = self._compute.device
        model = self._maker.model(size, self._compute)
        optimizer = make_optimizer(model)
        num_subjects = max(2, int(self._plan.step_tokens / self._corpus.num_events(context).mean()))

        def make(number: int) -> MaskedBatch:
            rows = np.random.default_rng(number).choice(self._corpus.rows, num_subjects)
            masked = self._corpus.masked_batch(rows, context, MaskingConfig(), number)
            return masked.pinned() if device.type == "cuda" else masked

        waited, begin = 0.0, 0.0
        warm_up = 3
        with closing(prefetch(make, range(warm_up + self._plan.loader_steps))) as batches:
            for number in range(warm_up + self._plan.loader_steps):
                if number == warm_up:
                    self._maker.wait()
                    waited, begin = 0.0, time.perf_counter()
                asked = time.perf_counter()
                masked = next(batches)
                waited += time.perf_counter() - asked
                pieces = [piece.to(device) for piece in masked.split(self._plan.step_tokens // 2)]
                self._maker.stepper(model, optimizer, pieces, model)()
        self._maker.wait()
        return waited / (time.perf_counter() - begin)
