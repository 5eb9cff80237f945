"""What is settled before a round: checkpointing goes by the largest piece that cannot be cut."""

from typing import Any

import pytest
import torch

from fedehr_client.compute.compute import CHECKPOINTING, TOKEN_BUDGET, Compute
from fedehr_client.training.fitting import MOST_TOKENS, _most_tokens, fit_round
from fedehr_client.training.round import RoundContext
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingModel


@pytest.mark.parametrize(
    ("more", "checkpointing"),
    [
        ({}, False),
        ({"objective": {"kind": "contrastive", "contrastive_group": 2}}, False),
        # Two views of 1,024 subjects in one piece: some 300 GB of activations.
        ({"objective": {"kind": "contrastive", "contrastive_group": 1_024}}, True),
        ({"objective": {"contrastive_weight": 0.5, "contrastive_group": 1_024}}, True),
        (
            {
                "objective": {"kind": "contrastive", "contrastive_group": 1_024},
                "pretraining": {"batch_subjects": 2},
            },
            False,
        ),
    ],
)
def test_a_group_that_cannot_be_cut_is_checkpointed(
    more: dict[str, Any], checkpointing: bool
) -> None:
    study = StudyConfig.model_validate(
        {
            "name": "s",
            "model": {"size": "small"},
            "sequence": {"context": 4_096},
            "finetuning": {"tasks": ["a"]},
            **more,
        }
    )
    model = PretrainingModel(study.model, study.objective, 100)
    compute = Compute(torch.device("cpu"), to_fit=frozenset({CHECKPOINTING, TOKEN_BUDGET}))
    context = RoundContext(study, "site", 1, 100, {}, None, compute)
    fitted, budget = fit_round(context, "pretraining", model, model)
    assert fitted.compute.checkpointing is checkpointing
    assert budget.num_tokens == fitted.compute.token_budget == 4_096


@pytest.mark.parametrize(("kind", "share"), [("masked_events", 0.3), ("masked_autoencoder", 0.75)])
def test_the_most_tokens_go_by_the_logits_that_the_objective_makes(kind: str, share: float) -> None:
    study = StudyConfig.model_validate(
        {"name": "s", "objective": {"kind": kind}, "finetuning": {"tasks": ["a"]}}
    )

    def most(num_tokens: int) -> int:
        compute = Compute(torch.device("cpu"))
        return _most_tokens(RoundContext(study, "site", 1, num_tokens, {}, None, compute))

    assert most(100) == MOST_TOKENS
    assert 0.85 * 2**31 < most(100_000) * share * 100_000 < 2**31
