"""The coordinator charges each noisy mean before it is drawn, and stops where a target ends."""

from typing import Any

import pytest

from fedehr_server.privacy.central_account import CentralAccount
from fedehr_shared.errors import BudgetError
from fedehr_shared.privacy.gaussian import gaussian_delta
from fedehr_shared.privacy.noisy_steps import NoisySteps

KEPT: dict[str, Any] = {"rounds": 3, "optimizer_state": "kept"}


@pytest.mark.parametrize("asked", [{"target_epsilon": 3.0}, {"noise_multiplier": 4.0}])
def test_both_phases_are_paid_and_one_round_more_is_refused(
    make_study: Any, asked: dict[str, float]
) -> None:
    privacy = {"mechanism": "central", "target_delta": 1e-3, **asked}
    account = CentralAccount(make_study(pretraining=KEPT, finetuning=KEPT, privacy=privacy))
    for number in range(6):
        account.reserve(f"round {number}")
    with pytest.raises(BudgetError, match="the seventh would bring the sites' epsilon") as refused:
        account.reserve("the seventh")
    assert refused.value.exit_code == 6
    assert "one site added or removed" in str(refused.value)
    # What was refused is not charged.
    assert account.history == [NoisySteps(account.noise_multiplier, 1.0, 6)]


def test_the_target_is_the_gaussian_mechanisms(make_study: Any) -> None:
    privacy = {"mechanism": "central", "target_delta": 1e-3, "target_epsilon": 2.0}
    account = CentralAccount(make_study(pretraining=KEPT, finetuning=KEPT, privacy=privacy))
    assert gaussian_delta(account.noise_multiplier / 6**0.5, 2.0) <= 1e-3
