"""Token budgets: found by trial, remembered, lowered when memory runs out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.compute.budget_record import FILE_NAME, BudgetRecord, Fit
from fedehr_client.compute.budget_trial import find_budget
from fedehr_client.compute.out_of_memory import is_out_of_memory
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TrainingError


@given(least=st.integers(1, 5_000), more=st.integers(0, 1_000_000), limit=st.integers(0, 2_000_000))
def test_the_trial_finds_the_limit_to_an_eighth(least: int, more: int, limit: int) -> None:
    tried: list[int] = []

    def fits(num_tokens: int) -> bool:
        tried.append(num_tokens)
        return num_tokens <= limit

    most = least + more
    found = find_budget(fits, least, most)
    if limit < least:
        assert found is None
        assert tried == [least]
        return
    assert found is not None
    assert least <= found <= min(limit, most)
    assert found * 9 / 8 + 2 >= min(limit, most)
    assert len(set(tried)) == len(tried) <= 25
    assert all(least <= one <= most for one in tried)


def _study(kind: str = "masked_events", context: int = 32, **more: float) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "s",
            "sequence": {"context": context},
            "objective": {"kind": kind, "contrastive_group": 2, **more},
            "finetuning": {"tasks": ["a", "b"]},
        }
    )


@pytest.mark.parametrize("kind", ["masked_events", "masked_autoencoder", "contrastive"])
@pytest.mark.parametrize("phase", ["pretraining", "finetuning"])
def test_worst_pieces_have_the_size_asked_for(kind: str, phase: str) -> None:
    long, short = worst_pieces(_study(kind), phase, 300, 4_096)
    assert long.num_tokens == short.num_tokens == 4_096
    if phase == "finetuning":
        lengths = [np.diff(one.batch.boundaries) for one in (long, short)]  # type: ignore[union-attr]
        assert set(lengths[0].tolist()) == {32}
        assert set(lengths[1].tolist()) == {8}


def test_a_budget_is_halved_until_pieces_are_smaller() -> None:
    batch = worst_pieces(_study(), "pretraining", 300, 1_024)[0]
    told: list[int] = []
    budget = TokenBudget(None, told.append)
    sizes = []
    while True:
        try:
            budget.lower(batch)
        except TrainingError as error:
            stopped = str(error)
            break
        sizes.append(max(piece.num_tokens for piece in batch.split(budget.num_tokens)))
    assert sizes == [512, 256, 128, 64, 32]
    # None of them helped, so none is remembered.
    assert told == []
    assert "32 tokens" in stopped
    assert "checkpointing" in stopped


def test_a_budget_is_remembered_once_a_step_fitted() -> None:
    batch = worst_pieces(_study(), "pretraining", 300, 1_024)[0]
    told: list[int] = []
    budget = TokenBudget(1_024, told.append)
    budget.fitted()
    budget.lower(batch)
    budget.lower(batch)
    assert told == []
    budget.fitted()
    budget.fitted()
    assert told == [256]


def test_a_group_is_never_cut() -> None:
    batch = worst_pieces(_study("contrastive"), "pretraining", 300, 1_024)[0]
    budget = TokenBudget(4_096)
    for _ in range(3):
        budget.lower(batch)
    with pytest.raises(TrainingError, match="contrastive_group"):
        budget.lower(batch)
    assert budget.num_tokens == 128


def test_a_fit_is_remembered_by_all_that_it_depends_on(tmp_path: Path) -> None:
    work = tmp_path / "new"
    record = BudgetRecord(work, {"context": 512, "device": "a"})
    assert record.read() is None
    record.write(Fit(4_096, checkpointing=False))
    BudgetRecord(work, {"context": 512, "device": "b"}).write(Fit(None, checkpointing=True))
    assert BudgetRecord(work, {"device": "a", "context": 512}).read() == Fit(4_096, False)
    assert BudgetRecord(work, {"context": 512, "device": "b"}).read() == Fit(None, True)
    assert BudgetRecord(work, {"context": 256, "device": "a"}).read() is None
    record.write(Fit(2_048, checkpointing=False))
    assert record.read() == Fit(2_048, False)
    assert [file.name for file in work.iterdir()] == [FILE_NAME]
    assert BudgetRecord(None, {}).read() is None


def test_only_the_latest_fits_are_remembered(tmp_path: Path) -> None:
    """A coordinator may propose studies without end, each with another context."""
    used = BudgetRecord(tmp_path, {"context": -1})
    for number in range(100):
        BudgetRecord(tmp_path, {"context": number}).write(Fit(64, checkpointing=False))
        used.write(Fit(number + 1, checkpointing=False))
    assert len(json.loads((tmp_path / FILE_NAME).read_text())) == 64
    assert used.read() == Fit(100, False)
    assert BudgetRecord(tmp_path, {"context": 99}).read() is not None
    assert BudgetRecord(tmp_path, {"context": 0}).read() is None


@pytest.mark.parametrize("entry", [None, [], {}, 3, {"token_budget": -1, "checkpointing": True},
    {"token_budget": True, "checkpointing": True}, {"token_budget": 64, "checkpointing": 1},
    {"token_budget": "64", "checkpointing": False}])  # fmt: skip
def test_what_is_damaged_is_found_anew(tmp_path: Path, entry: object) -> None:
    record = BudgetRecord(tmp_path, {"a": 1})
    record.write(Fit(64, checkpointing=False))
    (key,) = json.loads((tmp_path / FILE_NAME).read_text())
    (tmp_path / FILE_NAME).write_text(json.dumps({key: entry}))
    assert record.read() is None
    for text in ("", "[1]", "{", "\x00"):
        (tmp_path / FILE_NAME).write_text(text)
        assert record.read() is None
    record.write(Fit(64, checkpointing=False))
    assert record.read() == Fit(64, False)


def test_errors_of_memory_are_told_from_others() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(found.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as other:
        torch.ones(2) @ torch.ones(3)
    assert not is_out_of_memory(other.value)
    assert not is_out_of_memory(OSError("Cannot allocate memory"))
