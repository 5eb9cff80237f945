"""Pre-training steps on a GPU, beside its own matrix rate and transformers' BERT.

    python tests/gpu/benchmark_step.py --out runs/benchmarks/gpu_step.json

prints a table and writes JSON, which grows as the run goes on. It needs torch, numpy, pydantic,
psutil and pyarrow; transformers is left out with a word where it is missing. Nothing of this
repository needs to be installed. What fails is told in its place, the rest goes on, and the exit
status is 1 then. A run that was cut short goes on where it was when it is called again with the
same file, on the same device and at the same commit.

Events a second of wall time: forward, backward and fused AdamW, in the precision that the device
has units for, interleaved with a matrix product in that precision; medians of the rounds. BERT sees
the same subjects and hidden positions under the same autocast, padded to the context, in pieces.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/benchmarks", "shared", "client")]

import torch  # noqa: E402
from benchmark_plan import QUICK, Plan  # noqa: E402
from corpus import Corpus, make_corpus  # noqa: E402
from gpu_memory import StepMemory  # noqa: E402
from step_flops import FORMULA  # noqa: E402
from step_maker import StepMaker  # noqa: E402
from step_rates import StepRates  # noqa: E402

from fedehr_client.compute.compute import Compute, choose_compute  # noqa: E402
from fedehr_client.compute.config import ComputeConfig  # noqa: E402
from fedehr_client.compute.out_of_memory import release_memory  # noqa: E402

Measure = Callable[..., dict[str, Any]]


class Bench:
    """One run: what was found on the device, and what failed."""

    def __init__(
        self,
        plan: Plan,
        compute: Compute,
        corpus: Corpus,
        save: Callable[[dict[str, Any]], None],
        parts: dict[str, Any] | None = None,
    ) -> None:
        """Nothing is measured yet.

        Args:
            plan: how much is measured.
            compute: with what.
            corpus: the records.
            save: given all figures whenever there are new ones: a run may be cut short.
            parts: what an earlier run found, by its name, and is not measured again.
        """
        self.failures: list[str] = []
        self.parts = {} if parts is None else parts
        self._plan, self._compute, self._save = plan, compute, save
        maker = StepMaker(plan, compute, corpus)
        self._rates, self._memory = StepRates(maker), StepMemory(maker)

    def run(self) -> dict[str, Any]:
        """All figures."""
        figures: dict[str, Any] = {
            "compute": self._compute.describe(), "flop_formula": FORMULA, "steps": [],
            "token_budgets": [], "memory": [], "largest_context": [], "largest_model": {},
        }  # fmt: skip
        for size in self._plan.sizes:
            for context in self._plan.contexts:
                step = self._told(
                    f"step of {size} at {context}", self._rates.measure, size, context
                )
                figures["steps"].append(step)
                self._save(figures)
        for name, measure in (
            ("token_budgets", self._memory.site_budget),
            ("memory", self._memory.a_token),
            ("largest_context", self._memory.largest_context),
        ):
            for size in self._plan.sizes:
                figures[name].append(self._told(f"{name} of {size}", measure, size))
                self._save(figures)
        figures["largest_model"] = self._told("largest model", self._memory.largest_model)
        self._save(figures)
        return figures

    def _told(self, what: str, measure: Measure, *of: Any) -> dict[str, Any]:
        """What `measure` found, printed; or that it failed, so that the rest can go on."""
        if what in self.parts:
            print(f"\n{what}: found by an earlier run", flush=True)
            kept: dict[str, Any] = self.parts[what]
            return kept
        begin = time.perf_counter()
        try:
            found = self.parts[what] = measure(*of)
        except Exception as error:
            self.failures.append(f"{what}: {type(error).__name__}: {error}")
            found = {"failed": f"{type(error).__name__}: {error}"}
        release_memory(self._compute.device)
        torch.compiler.reset()  # else later sizes meet its limit of recompilations
        print(f"\n{what} ({time.perf_counter() - begin:.0f} s)")
        for key, value in found.items():
            text = f"{value:,.4g}" if isinstance(value, float) else str(value)
            print(f"  {key:<44} {text}", flush=True)
        return found


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
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:  # a bare machine has no git
        return "unknown"
    return done.stdout.strip() or "unknown"


def _earlier_parts(file: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What a run of the same found before it was cut short; nothing of any other run."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        is_same = all(record[name] == value for name, value in about.items())
        parts: dict[str, Any] = record["parts"] if is_same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return parts


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
    about = {"machine": _machine(compute.device), "commit": _commit(), "quick": asked.quick}
    asked.out.parent.mkdir(parents=True, exist_ok=True)

    parts = _earlier_parts(asked.out, about)

    def save(figures: dict[str, Any]) -> None:
        text = json.dumps({"figures": figures, **about, "parts": parts}, indent=2)
        partial = asked.out.with_name(f".{asked.out.name}")
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(asked.out)

    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder))
        bench = Bench(QUICK if asked.quick else Plan(), compute, corpus, save, parts)
        bench.run()
    print(f"\nwritten to {asked.out}")
    for failure in bench.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
