"""One round of a site that keeps its moments, in a process of its own that may be killed.

    python kept_site.py JSON

JSON: `work` (the site's folder), `first` and `last` (safetensors: weights before and after),
`round`, `rounds`, `steps` (of the round), `state` (optimizer_state), `kill`: "inside" the
round, "after" it, or "never".
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.training.local_state import LocalState
from fedehr_client.training.loop import RoundContext, RoundTrainer
from fedehr_client.training.round_plan import RoundPlan
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.weights import load_parameters, parameters_of


@dataclass(frozen=True)
class Points:
    """Inputs and what is to be found of them."""

    inputs: torch.Tensor
    targets: torch.Tensor

    @property
    def num_tokens(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device) -> "Points":
        return Points(self.inputs.to(device), self.targets.to(device))

    def pinned(self) -> "Points":
        return self

    def split(self, token_budget: int | None) -> Sequence["Points"]:
        return [self]


def make_points(step: int) -> Points:
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(32, 8, generator=generator)
    return Points(inputs, inputs[:, :4].sin() * 3)


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 4))


def main(asked: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    config = OptimizationConfig(
        rounds=asked["rounds"], steps_per_round=asked["steps"], optimizer_state=asked["state"]
    )
    model = make_network()
    load_parameters(model, load_file(asked["first"]))
    context = RoundContext(
        study=StudyConfig.model_validate({"name": "kept", "finetuning": {"tasks": ["death"]}}),
        site="site",
        round_number=asked["round"],
        num_tokens=2,
        weights=load_file(asked["first"]),
        moments=None,
        compute=Compute(torch.device("cpu")),
        local_state=LocalState(Path(asked["work"]), "study", "pretraining", "vocabulary"),
    )
    plan = RoundPlan.of(config, np.arange(50), asked["round"], seed=("kept",), min_cell=1)

    def make_batch(step: int) -> Points:
        if asked["kill"] == "inside" and step == plan.steps[-1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return make_points(step)

    def loss_of(points: Points) -> torch.Tensor:
        loss: torch.Tensor = (model(points.inputs) - points.targets).square().mean()
        return loss

    RoundTrainer(model, config, lambda _: 1.0).run(context, make_batch, loss_of, plan=plan)
    if asked["kill"] == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    save_file(parameters_of(model), asked["last"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
