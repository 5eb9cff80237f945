"""What goes over between rounds: moments by the study's choice, a private bias at home."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedehr_client.training.carry_over import CarryOver
from fedehr_client.training.learning_history import LearningHistory
from fedehr_client.training.local_state import LocalState
from fedehr_client.training.optimizer import make_optimizer
from fedehr_client.training.private_bias import PrivateBias
from fedehr_client.training.round_plan import RoundPlan
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.tuning.plan import TuningPlan

COUNTS = np.asarray([0, 3, 0, 40, 7], dtype=np.int64)


def _history(
    config: OptimizationConfig, round_number: int, tuning: TuningPlan | None = None
) -> LearningHistory:
    plan = RoundPlan.of(config, np.arange(20), round_number, seed=("any",), min_cell=1)
    return LearningHistory(plan, round_number, tuning)


class _Site:
    """A model, a bias and their optimizer at the start of a round."""

    def __init__(self, work: Path, state: str, round_number: int, *, private: bool = True) -> None:
        torch.manual_seed(0)
        self.config = OptimizationConfig.model_validate({"optimizer_state": state})
        self.model = nn.Linear(4, 5)
        self.bias = PrivateBias(COUNTS) if private else None
        groups = [{"params": list(self.model.parameters()), "rate_factor": 1.0}]
        if self.bias is not None:
            groups.append({"params": [self.bias.values], "rate_factor": 1.0})
        self.optimizer = make_optimizer(groups, self.config)
        self._local = LocalState(work, "study", "pretraining", "vocabulary")
        self._round = round_number

    def carried(self, averaged: Any = None) -> CarryOver:
        return CarryOver(
            self.config, self._round, _history(self.config, self._round), averaged, self._local
        )

    def begin(self, averaged: Any = None) -> "_Site":
        self.carried(averaged).begin(self.optimizer, self.model, self.bias)
        return self

    def train(self) -> Any:
        for step in range(3):
            inputs = torch.randn(20, 4, generator=torch.Generator().manual_seed(step))
            self.optimizer.zero_grad()
            logits = self.model(inputs) + (0.0 if self.bias is None else self.bias.values)
            torch.autograd.backward(logits.log_softmax(1)[:, 3].neg().mean())
            self.optimizer.step()
        return self.carried().end(self.optimizer, self.model, self.bias)

    def state(self, name: str) -> Any:
        parameters = dict(self.model.named_parameters())
        parameter = parameters.get(name) if self.bias is None or name else self.bias.values
        assert parameter is not None
        return self.optimizer.state[parameter]


def _files(work: Path) -> list[Path]:
    return list(work.rglob("*.safetensors"))


@pytest.mark.parametrize("state", ["averaged", "kept", "fresh"])
def test_each_state_goes_where_the_study_says(tmp_path: Path, state: str) -> None:
    first = _Site(tmp_path, state, 1).begin()
    sent = first.train()
    assert (sent is not None) == (state == "averaged")
    assert not any("private" in name or "values" in name for name in sent or {})
    second = _Site(tmp_path, state, 2).begin(sent)
    assert first.bias is not None
    assert second.bias is not None
    assert torch.equal(second.bias.values, first.bias.values)
    assert not torch.equal(first.bias.values, PrivateBias(COUNTS).values)
    weight = second.state("weight")
    # An averaged state counts the plan's steps, a kept one those that were taken here.
    steps = {"averaged": 10.0, "kept": 3.0, "fresh": None}[state]
    assert (float(weight["step"]) if weight else None) == steps
    if state == "kept":
        assert torch.equal(weight["exp_avg_sq"], first.state("weight")["exp_avg_sq"])
        assert torch.equal(weight["exp_avg"], first.state("weight")["exp_avg"])
    own = second.state("")
    assert bool(own) == (state != "fresh")
    if own:
        assert torch.equal(own["exp_avg"], first.state("")["exp_avg"])


def test_nothing_is_kept_where_nothing_is_to_be(tmp_path: Path) -> None:
    for state in ("averaged", "fresh"):
        _Site(tmp_path, state, 1, private=False).begin().train()
    assert _files(tmp_path) == []
    _Site(tmp_path, "kept", 1, private=False).begin().train()
    assert len(_files(tmp_path)) == 1


def test_moments_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    sent = _Site(tmp_path, "averaged", 1, private=False).begin().train()
    del sent["bias.first"]
    with pytest.raises(WireError, match="bias"):
        _Site(tmp_path, "averaged", 2, private=False).begin(sent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight.first", np.nan), ("bias.first", -np.inf), ("weight.second_root", np.inf),
        # Finite itself, and its square is not.
        ("bias.second_root", 3e38),
    ],
)  # fmt: skip
def test_moments_that_are_no_numbers_are_refused(tmp_path: Path, name: str, value: float) -> None:
    sent = _Site(tmp_path, "averaged", 1, private=False).begin().train()
    sent[name] = np.full_like(sent[name], value)
    with pytest.raises(WireError, match=name.partition(".")[0]):
        _Site(tmp_path, "averaged", 2, private=False).begin(sent)


def test_a_private_bias_starts_at_the_site_s_frequencies() -> None:
    values = PrivateBias(COUNTS).values.detach()
    assert values.dtype == torch.float32
    assert float(values.mean()) == pytest.approx(0, abs=1e-6)
    # Its softmax is the site's frequencies, one added to each count.
    shares = (COUNTS + 1) / (COUNTS + 1).sum()
    torch.testing.assert_close(values.softmax(0), torch.from_numpy(shares).float())


@pytest.mark.parametrize("num_taken", [1, 3, 10, 400])
def test_averaged_moments_are_on_one_scale_however_many_steps_were_taken(
    tmp_path: Path, num_taken: int
) -> None:
    """Under a constant gradient every step of AdamW is as long as the learning rate."""
    rate = 1e-2
    config = OptimizationConfig.model_validate({"learning_rate": rate, "weight_decay": 0.0})

    def steps(model: nn.Module, optimizer: torch.optim.AdamW, num: int) -> list[float]:
        lengths = []
        for _ in range(num):
            before = [p.detach().clone() for p in model.parameters()]
            for number, p in enumerate(model.parameters()):
                p.grad = torch.full_like(p, 0.3 + number)
            optimizer.step()
            moved = [
                (b - p.detach()).abs() for b, p in zip(before, model.parameters(), strict=True)
            ]
            lengths += [float(m.min()) for m in moved] + [float(m.max()) for m in moved]
        return lengths

    def round_of(number: int, averaged: Any) -> tuple[nn.Module, Any, CarryOver]:
        model = nn.Linear(4, 5)
        optimizer = make_optimizer([{"params": list(model.parameters())}], config)
        carried = CarryOver(config, number, _history(config, number), averaged, None)
        carried.begin(optimizer, model, None)
        return model, optimizer, carried

    model, optimizer, carried = round_of(1, None)
    steps(model, optimizer, num_taken)
    sent = carried.end(optimizer, model, None)
    model, optimizer, _ = round_of(2, sent)
    assert steps(model, optimizer, 3) == pytest.approx([rate] * 12, rel=1e-3)
