"""The shapes that the node reckons with are those of the models themselves."""

import subprocess
import sys

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.parameter_shapes import (
    base_shapes,
    parameter_shapes,
    received_shapes,
    update_moment_shapes,
    update_shapes,
)
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.tokens.batch import MAX_VISITS, NUM_SEXES

_MODULES = ("q", "k", "v", "o", "gate", "up", "down")
_TASKS = {
    "alive": {},
    "unit": {"kind": "multiclass", "classes": ["a", "b", "c"]},
    "days": {"kind": "regression", "scale": 2.0},
    "back": {"kind": "time_to_event", "interval_ends_hours": [24.0, 48.0]},
}


@st.composite
def studies(draw: st.DrawFn) -> StudyConfig:
    """Studies of every kind of model; what cannot be combined is drawn anew."""
    heads = draw(st.sampled_from([1, 2, 3]))
    tasks = draw(st.lists(st.sampled_from(sorted(_TASKS)), min_size=1, max_size=4, unique=True))
    tuning = draw(st.sampled_from(["probe", "probe_then_full", "full", "gradual", "lora"]))
    values: dict[str, object] = {
        "name": "shapes",
        "model": {
            "layers": draw(st.integers(1, 3)),
            "heads": heads,
            "hidden": 2 * heads * draw(st.integers(2, 5)) * 2,
            "pooling": draw(st.sampled_from(["mean", "sum", "attention"])),
        },
        "objective": {
            "kind": draw(st.sampled_from(["masked_events", "masked_autoencoder", "contrastive"])),
            "decoder_layers": draw(st.integers(1, 2)),
            "projection": draw(st.integers(2, 9)),
        },
        "finetuning": {
            "tasks": tasks,
            "tuning": tuning,
            "rounds": draw(st.integers(2, 4)),
            "wide": draw(st.booleans()),
            "shortcut": draw(st.booleans()),
            "optimizer_state": draw(st.sampled_from(["averaged", "kept", "fresh"])),
            "local_parts": draw(st.sampled_from([[], ["heads"], ["adapters"]])),
        },
        "tasks": {name: _TASKS[name] for name in tasks if _TASKS[name]},
        "loss": {"task_weights": draw(st.sampled_from(["equal", "uncertainty"]))},
    }
    if tuning == "lora":
        modules = st.lists(st.sampled_from(_MODULES), min_size=1, max_size=3, unique=True)
        values["lora"] = {
            "variant": draw(st.sampled_from(["lora", "vera"])),
            "rank": draw(st.integers(1, 4)),
            "target_modules": draw(modules),
            "aggregation": draw(st.sampled_from(["average", "frozen_a", "alternating"])),
        }
    if draw(st.booleans()):
        values["privacy"] = {
            "mechanism": "local",
            "phases": ["pretraining"],
            "noise_multiplier": 1.0,
            "target_delta": 1e-5,
        }
    try:
        return StudyConfig.model_validate(values)
    except ValueError:
        return draw(st.nothing())


@settings(max_examples=80, deadline=None)
@given(study=studies(), num_tokens=st.integers(5, 40))
def test_shapes_are_those_of_the_models(study: StudyConfig, num_tokens: int) -> None:
    with torch.device("meta"):
        models = {"pretraining": PretrainingModel.of(study, num_tokens)}
    models |= {"finetuning": FinetuningModel(study, num_tokens)}
    for phase, model in models.items():
        real = {name: tuple(value.shape) for name, value in model.named_parameters()}
        assert parameter_shapes(study, phase, num_tokens) == real
    real = parameter_shapes(study, "finetuning", num_tokens)
    plan = TuningPlan.of(study)
    received = received_shapes(study, "finetuning", num_tokens)
    base = base_shapes(study, "finetuning", num_tokens)
    local = {name for name in real if plan.is_local(name)}
    assert received.keys() | base.keys() | local == real.keys()
    assert not received.keys() & base.keys()
    for number in range(1, study.finetuning.rounds + 1):
        answered = update_shapes(study, "finetuning", number, num_tokens)
        assert answered.items() <= received.items()
        moments = update_moment_shapes(study, "finetuning", number, num_tokens)
        is_averaged = study.finetuning.optimizer_state == "averaged"
        assert len(moments) == (2 * len(answered) if is_averaged else 0)


def test_the_constants_are_those_of_the_batches() -> None:
    shapes = parameter_shapes(
        StudyConfig.model_validate({"name": "s", "finetuning": {"tasks": ["alive"]}}),
        "pretraining",
        30,
    )
    assert shapes["encoder.visit_embedding.weight"][0] == MAX_VISITS
    assert shapes["encoder.sex_embedding.weight"][0] == NUM_SEXES


def test_nothing_of_it_loads_torch() -> None:
    code = (
        "import sys, fedehr_shared.model.parameter_shapes, fedehr_shared.wire.reports, "
        "fedehr_shared.privacy.key_patterns; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
