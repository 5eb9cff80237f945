"""Pre-training steps on a GPU, beside its own matrix rate and transformers' BERT.

    python tests/gpu/benchmark_step.py --out runs/benchmarks/gpu_step.json

prints a table and writes JSON. It needs torch, numpy and pydantic; transformers is left out with a
word where it is missing. Nothing needs to be installed of this repository. What fails is told in
its place, the rest goes on, and the exit status is 1 then.

Events a second of wall time: forward, backward and fused AdamW, in the precision that the device
has units for, interleaved with a matrix product in that precision; medians of the rounds. BERT sees
the same subjects and hidden positions under the same autocast, padded to the context, in pieces.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/benchmarks", "shared", "client")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from benchmark_plan import QUICK, Plan  # noqa: E402
from bert import PaddedBatch, make_bert  # noqa: E402
from corpus import NUM_TOKENS, Corpus, make_corpus, single_sequence  # noqa: E402
from step_flops import FORMULA, StepFlops  # noqa: E402
from step_variants import make_optimizer  # noqa: E402

from fedehr_client.compute.compute import Compute, choose_compute  # noqa: E402
from fedehr_client.compute.config import ComputeConfig  # noqa: E402
from fedehr_client.compute.out_of_memory import is_out_of_memory, release_memory  # noqa: E402
from fedehr_client.compute.precision import autocast  # noqa: E402
from fedehr_client.compute.prepare import prepare_model  # noqa: E402
from fedehr_client.training.prefetch import prefetch  # noqa: E402
from fedehr_shared.config.masking import MaskingConfig  # noqa: E402
from fedehr_shared.config.model import ModelConfig  # noqa: E402
from fedehr_shared.config.objective import ObjectiveConfig  # noqa: E402
from fedehr_shared.model.pretraining_model import PretrainingModel  # noqa: E402
from fedehr_shared.tokens.masking import MaskedBatch  # noqa: E402


class Bench:
    """One run: the device, what was found on it and what failed."""

    def __init__(self, plan: Plan, compute: Compute, corpus: Corpus) -> None:
        self.plan, self.compute, self.corpus = plan, compute, corpus
        self.failures: list[str] = []

    def run(self) -> dict[str, Any]:
        """All figures."""
        steps = [
            self._told(f"step of {size} at context {context}", self._step, size, context)
            for size in self.plan.sizes
            for context in self.plan.contexts
        ]
        return {
            "compute": self.compute.describe(),
            "flop_formula": FORMULA,
            "steps": steps,
            "memory": [self._told(f"memory of {s}", self._memory, s) for s in self.plan.sizes],
            "largest_model": self._told("largest model", self._largest_model),
            "largest_context": [
                self._told(f"largest context of {size}", self._largest_context, size)
                for size in self.plan.sizes
            ],
        }

    def _told(self, what: str, measure: Callable[..., dict[str, Any]], *of: Any) -> dict[str, Any]:
        """What `measure` found, printed; or that it failed, so that the rest can go on."""
        begin = time.perf_counter()
        try:
            found = measure(*of)
        except Exception as error:
            self.failures.append(f"{what}: {type(error).__name__}: {error}")
            found = {"failed": f"{type(error).__name__}: {error}"}
        release_memory(self.compute.device)
        torch.compiler.reset()  # else later sizes meet its limit of recompilations
        print(f"\n{what} ({time.perf_counter() - begin:.0f} s)")
        for key, value in found.items():
            text = f"{value:,.4g}" if isinstance(value, float) else str(value)
            print(f"  {key:<44} {text}", flush=True)
        return found

    def _step(self, size_name: str, context: int) -> dict[str, Any]:
        """Rates of a step, ours and BERT's, beside the matrix rate; and the wait for batches."""
        size = ModelConfig.model_validate({"size": size_name})
        masked = self._batch(self.plan.step_tokens, context, 0)
        num_events = masked.batch.tokens.numel() - masked.batch.num_sequences
        left, right = self._operands()
        torch.mm(left, right)  # chooses its kernel
        steps = {"matmul": lambda: torch.mm(left, right), **self._ours(size, masked)}
        if find_spec("transformers") is None:
            note = {"bert": "left out: transformers is not installed"}
        else:
            note = {}
            steps |= self._bert(size, masked, context)
        seconds = self._interleaved(steps)
        flops = StepFlops.of(size, NUM_TOKENS, masked.batch.boundaries, masked.positions.numel())
        matmul_rate = 2 * self.plan.matmul**3 / seconds.pop("matmul")
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
        for _ in range(self.plan.rounds):
            for name, step in steps.items():
                self._wait()
                begin = time.perf_counter()
                step()
                self._wait()
                seconds[name].append(time.perf_counter() - begin)
        return {name: statistics.median(taken) for name, taken in seconds.items()}

    def _operands(self) -> tuple[torch.Tensor, ...]:
        """Two square matrices in the precision of the steps."""
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        shape = (2, self.plan.matmul, self.plan.matmul)
        dtype = dtypes[self.compute.precision]
        return torch.randn(shape, device=self.compute.device, dtype=dtype).unbind()

    def _ours(self, size: ModelConfig, masked: MaskedBatch) -> dict[str, Callable[[], Any]]:
        """As the hardware asks for, and with layers not compiled where that means compiled."""
        computes = {"ours": self.compute}
        if self.compute.compile:
            computes["ours_not_compiled"] = replace(self.compute, compile=False)
        return {
            name: self._fitting(self._model(size, compute), masked.split, self.plan.step_tokens)
            for name, compute in computes.items()
        }

    def _bert(
        self, size: ModelConfig, masked: MaskedBatch, context: int
    ) -> dict[str, Callable[[], Any]]:
        """With dropout off, and 0.1 as it comes; the step's gradient is that of all its pieces."""

        def split(tokens: int) -> list[PaddedBatch]:
            columns = vars(PaddedBatch.of(masked, context)).values()
            pieces = (torch.split(column, max(1, tokens // context)) for column in columns)
            return [PaddedBatch(*piece) for piece in zip(*pieces, strict=True)]

        found = {}
        for name, dropout in (("bert", 0.0), ("bert_default", 0.1)):
            model = make_bert(size, NUM_TOKENS, context, dropout).to(self.compute.device)

            def loss_of(piece: PaddedBatch, model: Any = model) -> torch.Tensor:
                return piece.dense_loss(model)

            found[name] = self._fitting(model, split, self.plan.bert_tokens, loss_of)
        return found

    def _fitting(
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
            step = self._stepper(model, optimizer, pieces, loss_of or model)
            if self._takes(step):
                return step
            tokens //= 2
            if not tokens:
                raise MemoryError("not even a single sequence fits")

    def _stepper(
        self, model: Any, optimizer: Any, pieces: Sequence[Any], loss_of: Callable[[Any], Any]
    ) -> Callable[[], float]:
        def step() -> float:
            optimizer.zero_grad(set_to_none=True)
            total = 0.0
            for piece in pieces:
                with autocast(self.compute.device, self.compute.precision):
                    loss = loss_of(piece)
                loss.backward()
                total += float(loss.detach())
            optimizer.step()
            return total

        return step

    def _takes(self, step: Callable[[], float]) -> bool:
        """Whether there is memory for a first step, which compiles, and a second."""
        try:
            step()
            step()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            release_memory(self.compute.device)
        return True

    def _loader_wait(self, size: ModelConfig, context: int) -> float:
        """The share of time that steps wait for their batch, made ahead by one thread."""
        device = self.compute.device
        model = self._model(size, self.compute)
        optimizer = make_optimizer(model)

        num_subjects = max(2, int(self.plan.step_tokens / self.corpus.num_events(context).mean()))

        def make(number: int) -> MaskedBatch:
            rows = np.random.default_rng(number).choice(self.corpus.rows, num_subjects)
            masked = self.corpus.masked_batch(rows, context, MaskingConfig(), number)
            return masked.pinned() if device.type == "cuda" else masked

        waited, begin = 0.0, 0.0
        warm_up = 3
        with closing(prefetch(make, range(warm_up + self.plan.loader_steps))) as batches:
            for number in range(warm_up + self.plan.loader_steps):
                if number == warm_up:
                    self._wait()
                    waited, begin = 0.0, time.perf_counter()
                asked = time.perf_counter()
                masked = next(batches)
                waited += time.perf_counter() - asked
                pieces = [piece.to(device) for piece in masked.split(self.plan.step_tokens // 2)]
                self._stepper(model, optimizer, pieces, model)()
        self._wait()
        return waited / (time.perf_counter() - begin)

    def _memory(self, size_name: str) -> dict[str, Any]:
        """Bytes a token of budget and the budget that they leave room for, tried."""
        device = self.compute.device
        if device.type != "cuda":
            return {"left_out": "told by CUDA's allocator alone; see tests/benchmarks"}
        size = ModelConfig.model_validate({"size": size_name})
        found: dict[str, Any] = {"size": size_name}
        total = torch.cuda.get_device_properties(device).total_memory
        for name, checkpointing in (("kept", False), ("checkpointing", True)):
            compute = replace(self.compute, checkpointing=checkpointing)
            few, many = (self._peak(size, compute, tokens) for tokens in self.plan.memory_tokens)
            slope = (many[0] - few[0]) / (many[1] - few[1])
            budget = int((0.9 * total - few[0]) / slope) + few[1]
            fits = self._fits(size, compute, self._batch(budget, 512, 0))
            found |= {
                f"{name}_bytes_a_token": slope,
                f"{name}_token_budget": budget,
                f"{name}_token_budget_was_tried": "it fits" if fits else "memory ran out",
            }
        return found

    def _peak(self, size: ModelConfig, compute: Compute, tokens: int) -> tuple[int, int]:
        """Peak bytes of a step after a first one, and its tokens."""
        masked = self._batch(tokens, 512, 0).to(compute.device)
        model = self._model(size, compute)
        step = self._stepper(model, make_optimizer(model), [masked], model)
        step()
        torch.cuda.reset_peak_memory_stats(compute.device)
        step()
        peak = torch.cuda.max_memory_allocated(compute.device)
        del step, model
        release_memory(compute.device)
        return peak, masked.batch.tokens.numel()

    def _largest_model(self) -> dict[str, Any]:
        """The last of the ladder that takes a step on 4,096 tokens, checkpointing on."""
        compute = replace(self.compute, checkpointing=True, compile=False)
        masked = self._batch(min(4_096, self.plan.step_tokens), self.plan.contexts[0], 0)
        found: dict[str, Any] = {}
        for layers, hidden, heads in self.plan.ladder:
            size = ModelConfig(layers=layers, hidden=hidden, heads=heads)
            if not self._fits(size, compute, masked):
                return found | {"memory_ran_out_at": f"{layers} x {hidden}"}
            with torch.device("meta"):
                model = PretrainingModel(size, ObjectiveConfig(), NUM_TOKENS)
            found = {
                "fits": f"{layers} x {hidden}, {heads} heads",
                "parameters": sum(p.numel() for p in model.parameters()),
            }
        return found

    def _largest_context(self, size_name: str) -> dict[str, Any]:
        """The longest single sequence that takes a step, checkpointing on."""
        compute = replace(self.compute, checkpointing=True, compile=False)
        size = ModelConfig.model_validate({"size": size_name})
        found: dict[str, Any] = {"size": size_name}
        for length in self.plan.lengths:
            if not self._fits(size, compute, single_sequence(length)):
                return found | {"memory_ran_out_at": length}
            found["fits"] = length
        return found

    def _fits(self, size: ModelConfig, compute: Compute, masked: MaskedBatch) -> bool:
        """Whether two steps can be taken on the batch in one piece."""

        def step() -> float:
            if not steps:  # weights may already be too large
                model = self._model(size, compute)
                piece = masked.to(compute.device)
                steps.append(self._stepper(model, make_optimizer(model), [piece], model))
            return steps[0]()

        steps: list[Callable[[], float]] = []
        fits = self._takes(step)
        steps.clear()
        release_memory(compute.device)
        return fits

    def _model(self, size: ModelConfig, compute: Compute) -> PretrainingModel:
        with torch.device(compute.device):
            model = PretrainingModel(size, ObjectiveConfig(), NUM_TOKENS)
        with torch.no_grad():  # torch draws embeddings too large for tied ones
            for name, parameter in model.named_parameters():
                if "embedding" in name:
                    parameter.mul_(0.02)
        prepare_model(model, compute)
        return model.train()

    def _batch(self, tokens: int, context: int, seed: int) -> MaskedBatch:
        """Typical subjects of about so many tokens, masked."""
        num = max(2, round(tokens / (1 + self.corpus.num_events(context).mean())))
        rows = self.corpus.typical_rows(num, context)
        return self.corpus.masked_batch(rows, context, MaskingConfig(), seed)

    def _wait(self) -> None:
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize(self.compute.device)


def _machine(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"device": str(device), "torch": torch.__version__}
    if device.type == "cuda":
        found |= {
            "device": torch.cuda.get_device_name(device),
            "memory_gib": torch.cuda.get_device_properties(device).total_memory / 2**30,
            "cuda": torch.version.cuda,
        }
    return found | {"python": sys.version.split()[0]}


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="file for the JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it runs through")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device: nothing was measured", file=sys.stderr)
        return 2
    compute = choose_compute(ComputeConfig(device=asked.device))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(QUICK if asked.quick else Plan(), compute, make_corpus(Path(folder)))
        record = {
            "figures": bench.run(), "machine": _machine(compute.device), "commit": _commit(),
            "quick": asked.quick,
        }  # fmt: skip
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {asked.out}")
    for failure in bench.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
