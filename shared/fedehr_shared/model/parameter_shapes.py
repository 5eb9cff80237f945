"""`parameter_shapes`: names and shapes of a study's parameters, from the study alone.

Whoever must judge what travels, and should not load PyTorch for it, reckons with these; a test
holds them against the models themselves.
"""

from collections.abc import Iterator

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.lora.adapted_matrices import adapted_matrices
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.work import Phase

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

_NUM_VISITS, _NUM_SEXES = 8, 4
"""Of `tokens/batch.py`, which loads PyTorch."""
_NUM_AGES = 1


def parameter_shapes(study: StudyConfig, phase: Phase, num_tokens: int) -> Shapes:
    """Every parameter of the model of a phase; of the vocabulary phase none.

    Args:
        study: the study.
        phase: which model: the evaluation has that of fine-tuning.
        num_tokens: the vocabulary's size.
    """
    if phase == "vocabulary":
        return {}
    of_phase = _pretraining if phase == "pretraining" else _finetuning
    return dict(of_phase(study, num_tokens))


def received_shapes(study: StudyConfig, phase: Phase, num_tokens: int) -> Shapes:
    """What a request's `model` holds."""
    shapes = parameter_shapes(study, phase, num_tokens)
    if phase == "pretraining":
        return shapes
    plan = TuningPlan.of(study)
    return {name: shape for name, shape in shapes.items() if plan.travels(name)}


def base_shapes(study: StudyConfig, phase: Phase, num_tokens: int) -> Shapes:
    """What a request's `base` holds: the weights that no round carries, with those that a site's
    own parts begin with."""
    if phase in {"vocabulary", "pretraining"}:
        return {}
    plan = TuningPlan.of(study)
    shapes = parameter_shapes(study, phase, num_tokens)
    return {name: shape for name, shape in shapes.items() if not plan.travels(name)}


def update_shapes(study: StudyConfig, phase: Phase, round_number: int, num_tokens: int) -> Shapes:
    """What an answer's `update` holds; nothing in a phase that trains nothing."""
    if phase in {"vocabulary", "evaluation"}:
        return {}
    shapes = parameter_shapes(study, phase, num_tokens)
    if phase == "pretraining":
        return shapes
    plan = TuningPlan.of(study)
    return {name: shape for name, shape in shapes.items() if plan.is_answered(name, round_number)}


def update_moment_shapes(
    study: StudyConfig, phase: Phase, round_number: int, num_tokens: int
) -> Shapes:
    """What an answer's `moments` holds; nothing where the study does not average them."""
    config = study.pretraining if phase == "pretraining" else study.finetuning
    if phase in {"vocabulary", "evaluation"} or config.optimizer_state != "averaged":
        return {}
    return moment_shapes(update_shapes(study, phase, round_number, num_tokens))


def _pretraining(study: StudyConfig, num_tokens: int) -> Iterator[tuple[str, Shape]]:
    model, objective = study.model, study.objective
    yield from _encoder(model, num_tokens)
    names = objective.kind != "contrastive"
    if objective.kind == "masked_autoencoder":
        yield from _decoder(model, objective.decoder_layers)
    if names and study.privacy.is_private("pretraining"):
        yield "output.weight", (num_tokens, model.hidden)
        yield "output.bias", (num_tokens,)
    elif names:
        yield "output_bias", (num_tokens,)
    if objective.num_views == 2:
        yield "contrastive.inner.weight", (model.hidden, model.hidden)
        yield "contrastive.outer.weight", (objective.projection, model.hidden)


def _finetuning(study: StudyConfig, num_tokens: int) -> Iterator[tuple[str, Shape]]:
    model, tuning = study.model, study.finetuning
    yield from _encoder(model, num_tokens)
    yield from _adapters(study)
    if model.pooling == "attention":
        yield "pooling.query.weight", (1, model.hidden)
    outputs = [task.num_outputs for task in study.task_configs]
    for number, num in enumerate(outputs):
        yield f"heads.{number}.weight", (num, model.hidden + (_NUM_AGES if tuning.shortcut else 0))
        yield f"heads.{number}.bias", (num,)
    if tuning.wide:
        yield "wide.terms.weight", (num_tokens, sum(outputs))
    if study.loss.task_weights == "uncertainty":
        yield "uncertainty.log_variances", (len(outputs),)


def _encoder(model: ModelConfig, num_tokens: int) -> Iterator[tuple[str, Shape]]:
    yield "encoder.token_embedding.weight", (num_tokens, model.hidden)
    yield from _features("encoder.", model.hidden)
    yield from _blocks("encoder.", model.layers, model.hidden)
    yield "encoder.norm.weight", (model.hidden,)


def _decoder(model: ModelConfig, num_layers: int) -> Iterator[tuple[str, Shape]]:
    prefix, width = "naming.decoder.", 2 * -(-model.hidden // 4)
    yield f"{prefix}inward.weight", (width, model.hidden)
    yield f"{prefix}mask_embedding.weight", (1, width)
    yield from _features(prefix, width)
    yield from _blocks(prefix, num_layers, width)
    yield f"{prefix}norm.weight", (width,)
    yield f"{prefix}outward.weight", (model.hidden, width)


def _features(prefix: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{prefix}visit_embedding.weight", (_NUM_VISITS, width)
    yield f"{prefix}sex_embedding.weight", (_NUM_SEXES, width)
    yield f"{prefix}age_projection.weight", (width, _NUM_AGES)


def _blocks(prefix: str, num_layers: int, width: int) -> Iterator[tuple[str, Shape]]:
    for layer in range(num_layers):
        block = f"{prefix}blocks.{layer}."
        yield f"{block}attention_norm.weight", (width,)
        for name, shape in _matrices(width).items():
            yield f"{block}{name}.weight", shape
        yield f"{block}feed_norm.weight", (width,)


def _matrices(width: int) -> dict[str, tuple[int, int]]:
    """Of a layer: rows are its outputs."""
    inner = 8 * ((width * 8 // 3 + 7) // 8)
    square = dict.fromkeys(("q", "k", "v", "o"), (width, width))
    return {**square, "gate": (inner, width), "up": (inner, width), "down": (width, inner)}


def _adapters(study: StudyConfig) -> Iterator[tuple[str, Shape]]:
    matrices = _matrices(study.model.hidden)
    for matrix in adapted_matrices(study):
        num_outputs, num_inputs = matrices[matrix.module.rpartition(".")[2]]
        if study.lora.variant == "lora":
            yield matrix.lora_A, (matrix.rank, num_inputs)
            yield matrix.lora_B, (num_outputs, matrix.rank)
        else:
            yield matrix.vera_d, (matrix.rank,)
            yield matrix.vera_b, (num_outputs,)
