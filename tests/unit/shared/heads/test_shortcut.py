"""The shortcut: heads see the tokens' embeddings and the age past the encoder's layers."""

from dataclasses import replace
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.shortcut import Shortcut
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch

NUM_TOKENS, HIDDEN = 12, 16


def _study(**finetuning: Any) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "any",
            "model": {"layers": 1, "hidden": HIDDEN, "heads": 2},
            "finetuning": {"tasks": ["a"], "wide": False, **finetuning},
        }
    )


def _model(study: StudyConfig) -> FinetuningModel:
    model = FinetuningModel(study, NUM_TOKENS)
    load_parameters(model, draw_first_weights(model, 0))
    return model.eval()


def _batch(ages: list[float], tokens: list[int], cuts: list[int]) -> EventBatch:
    zeros = torch.zeros(len(tokens), dtype=torch.int64)
    return EventBatch(
        torch.tensor(tokens), zeros.float(), torch.tensor(ages), zeros, zeros,
        torch.tensor(cuts), cuts,
    )  # fmt: skip


@settings(deadline=None)
@given(ages=st.lists(st.floats(0.01, 1.1), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_the_last_age_is_told_in_decades_from_fifty(ages: list[float], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 5, (len(ages),), generator=generator).tolist()
    cuts = torch.tensor([0, *lengths]).cumsum(0).tolist()
    earlier = [[0.005] * (num - 1) + [age] for num, age in zip(lengths, ages, strict=True)]
    batch = _batch([age for own in earlier for age in own], [4] * cuts[-1], cuts)
    expected = torch.tensor([[(age * 100 - 50) / 10] for age in ages])
    torch.testing.assert_close(Shortcut().ages(batch), expected, atol=1e-4, rtol=1e-4)
    padded = Shortcut().ages(PaddedBatch.of(batch))
    torch.testing.assert_close(padded, expected, atol=1e-4, rtol=1e-4)


def test_an_unknown_age_says_nothing() -> None:
    batch = _batch([0.0, 0.0, 0.6], [4, 5, 5], [0, 2, 3])
    assert Shortcut().ages(batch)[0].item() == 0.0


def test_who_has_the_same_events_is_told_apart_by_age() -> None:
    model = _model(_study())
    # What the encoder has of the age is taken away.
    with torch.no_grad():
        model.encoder.age_projection.weight.zero_()
        weight = model.get_parameter("heads.0.weight")[0, -1].item()
        logits = model(_batch([0.3, 0.3, 0.8, 0.8], [4, 5, 4, 5], [0, 2, 4]))
        blind = _model(_study(shortcut=False))
        blind.encoder.age_projection.weight.zero_()
        same = blind(_batch([0.3, 0.3, 0.8, 0.8], [4, 5, 4, 5], [0, 2, 4]))
    assert abs((logits[1] - logits[0]).item() - 5.0 * weight) < 1e-5
    assert torch.equal(same[0], same[1])


@settings(deadline=None)
@given(scale=st.floats(0.1, 100.0))
def test_a_rare_token_weighs_as_a_frequent_one(scale: float) -> None:
    """Pre-training leaves rare tokens short embeddings."""
    events = torch.randn(6, HIDDEN, generator=torch.Generator().manual_seed(1))
    encoded = torch.zeros(6, HIDDEN)
    shortcut = Shortcut()
    torch.testing.assert_close(
        shortcut(encoded, events * scale), shortcut(encoded, events), atol=1e-2, rtol=1e-3
    )


def test_heads_learn_codes_under_layers_that_lost_them() -> None:
    """All that the layers say is the same for all subjects: a probe learns the codes regardless."""
    model = _model(_study(tuning="probe"))
    with torch.no_grad():
        model.encoder.norm.weight.zero_()
    tokens = [4, 5, 6, 7, 8, 9]
    batch = _batch([0.6] * 6, tokens, list(range(7)))
    wanted = torch.tensor([1.0, 0, 1, 0, 0, 1])
    optimizer = torch.optim.Adam(model.heads.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch)[:, 0], wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.1


def test_without_it_heads_see_encodings_alone() -> None:
    model = _model(_study(shortcut=False))
    batch = _batch([0.2, 0.4, 0.9], [4, 5, 6], [0, 1, 3])
    with torch.no_grad():
        encoded = model.encoder(batch)
        means = torch.stack([encoded[:1].mean(0), encoded[1:].mean(0)])
        torch.testing.assert_close(model(batch), model.heads[0](means))
        changed = replace(batch, tokens=torch.tensor([4, 5, 7]))
        assert torch.equal(model(changed)[0], model(batch)[0])
