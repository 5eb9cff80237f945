"""A private step on a CUDA device: the same clipped sums as on the processor, noise of its own."""

from typing import Any

import pytest
import torch
from torch import nn

from fedehr_client.privacy.ghost_gradients import GhostGradients
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.noisy_mean import noisy_mean
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SIZE = ModelConfig(layers=2, hidden=64, heads=2)
LENGTHS = [40, 128, 77, 128]


def _batch() -> PaddedBatch:
    torch.manual_seed(2)
    cuts, num = [0, *torch.tensor(LENGTHS).cumsum(0).tolist()], sum(LENGTHS)
    hours = torch.cat([torch.rand(n).cumsum(0) for n in LENGTHS])
    stream = EventBatch(
        torch.randint(5, 500, (num,)), hours, torch.rand(num), torch.randint(0, 8, (num,)),
        torch.zeros(num, dtype=torch.int64), torch.tensor(cuts), cuts,
    )  # fmt: skip
    return PaddedBatch.of(stream)


@pytest.mark.parametrize("way", [HookedGradients, GhostGradients])
def test_clipped_sums_are_those_of_the_processor(way: Any) -> None:
    found = {}
    for name in ("cpu", "cuda"):
        torch.manual_seed(1)
        encoder = EventEncoder(SIZE, 500)
        model = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(SIZE.hidden, 1)})
        model = model.to(name).train()
        batch = _batch().to(torch.device(name))
        gradients = way(model)
        with gradients.listening():
            gradients.begin()
            gradients.forget()
            encoded = model["encoder"](batch) * batch.is_real[:, :, None]
            losses = model["head"](encoded.mean(dim=1)).square().sum(dim=1)
            norms = gradients.add(losses, 0.1)
            found[name] = (norms.cpu(), [total.cpu() for total in gradients.sums])
    torch.testing.assert_close(found["cuda"][0], found["cpu"][0], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found["cuda"][1], found["cpu"][1], rtol=1e-2, atol=1e-5)


def test_noise_on_the_device_is_normal() -> None:
    mechanism = Mechanism(noise_multiplier=2.0, max_grad_norm=1.0, expected_subjects=4.0)
    total = torch.zeros(500_001, device="cuda")
    found = noisy_mean(total, 1.0, mechanism, PrivateRandomness())
    assert found.device.type == "cuda"
    assert float(found.std()) == pytest.approx(0.5, rel=0.01)
