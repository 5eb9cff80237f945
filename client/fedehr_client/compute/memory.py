"""`MemoryEstimate`: what training will take, before it starts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from fedehr_client.compute.adapted_layers import adapted_layer_bytes, lowest_adapted
from fedehr_client.compute.compute import Compute
from fedehr_client.compute.precision import bytes_of
from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.block import EncoderBlock
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.objectives.decoder import decoder_heads, decoder_width
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.tuning.plan import TuningPlan

_FLOAT = 4
_LOGIT_COPIES = 3
"""At the start of the backward pass: log-probabilities, their gradient and that of the logits."""
_SLACK = 1.1
"""What allocators leave between blocks: on a CPU 5 to 20 % were measured."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, on the device (on a CPU: of the process, beyond what it takes before training).

    - Weights, gradients and AdamW's two moments are in float32 whatever the precision. The tied
      embedding has two gradients for a moment, from the input and from the output.
    - In bf16 and fp16 each weight has a copy in that precision during a piece.
    - On a CPU the weights that came, and averaged moments, are held beside the model's own.
    - Activations are what autograd keeps: for each token and layer, in float32 the two residual
      streams and two normalized ones (4 x hidden); in the precision of the products the inputs
      of the linear maps (2 x hidden in fp32; 5 x hidden else, as each map casts its own), q, k,
      v and what is mixed (4 x hidden; attention one subject at a time holds the last twice), and
      four times the inner width of SwiGLU (gate, its silu, up, their product); and one number a
      head.
    - Where the layers' own matrices are frozen and have adapters, see `adapted_layer_bytes`.
    - With checkpointing each layer keeps its input alone (hidden, in float32), and one layer at
      a time has all of the above.
    - Logits are of the hidden positions alone, in float32, three times.
    - A layer's backward pass has the gradients of SwiGLU's four tensors and of four streams at
      once; with checkpointing all of the layer. It comes after the logits are gone, so the
      greater of the two counts.
    - It is what is in use. On a CPU glibc may hold up to as much again between blocks below
      32 MB, as it did for `base` with checkpointing.

    Attributes:
        weights: the model's parameters, and their copies in a lower precision.
        gradients: of the parameters that are trained.
        moments: AdamW's, of the same.
        received: what came with the request, on a CPU.
        activations: a token.
        logits: a token, on average.
        backward: a token, what one layer at a time has.
    """

    weights: int
    gradients: int
    moments: int
    received: int
    activations: float
    logits: float
    backward: float

    @property
    def fixed_bytes(self) -> int:
        """Whatever the batch."""
        return self.weights + self.gradients + self.moments + self.received

    @property
    def token_bytes(self) -> float:
        """For each token at once."""
        return _SLACK * (self.activations + max(self.logits, self.backward))

    def total_bytes(self, num_tokens: int) -> int:
        """At the most, with so many tokens at once."""
        return self.fixed_bytes + int(num_tokens * self.token_bytes)

    def tokens_within(self, num_bytes: int) -> int:
        """How many tokens at once fit into so many bytes; 0 where nothing does."""
        return max(0, int((num_bytes - self.fixed_bytes) / self.token_bytes))

    def describe(self, num_tokens: int) -> str:
        """One line for a log."""
        logits = max(self.logits, self.backward) - self.backward
        parts = {
            "weights": self.weights,
            "gradients": self.gradients,
            "moments": self.moments,
            "received": self.received,
            "activations": num_tokens * _SLACK * (self.activations + self.backward),
            "logits": num_tokens * _SLACK * logits,
        }
        told = ", ".join(f"{name} {_words(part)}" for name, part in parts.items() if part)
        total = _words(self.total_bytes(num_tokens))
        return f"memory for {num_tokens:,} tokens at once: about {total} ({told})"


def estimate_memory(
    study: StudyConfig, phase: str, num_tokens: int, compute: Compute
) -> MemoryEstimate:
    """What a phase of a study takes.

    Args:
        study: the study.
        phase: `pretraining` or `finetuning`.
        num_tokens: the vocabulary's size.
        compute: for precision, attention, checkpointing and device.
    """
    pretraining = phase == "pretraining"
    with torch.device("meta"):
        model = _model_of(study, num_tokens, pretraining)
    parameters = sum(p.numel() for p in model.parameters())
    trained, ever_trained = (parameters,) * 2 if pretraining else _trained(study, model)
    frozen = not pretraining and study.finetuning.tuning == "probe"
    adapted = not pretraining and study.finetuning.tuning == "lora"
    embedding = 0 if frozen or adapted else num_tokens * study.model.hidden
    config = study.pretraining if pretraining else study.finetuning
    on_cpu = compute.device.type == "cpu"
    moments = ever_trained if config.optimizer_state == "kept" else trained
    averaged = 2 * ever_trained if config.optimizer_state == "averaged" else 0
    lowered = bytes_of(compute.precision) if compute.precision != "fp32" else 0
    lora = study.lora if adapted else None
    layers = _pretraining_layers(study) if pretraining else [_Layers.of(study.model, 1.0, lora)]
    logits = _hidden_share(study) * num_tokens * _FLOAT * _LOGIT_COPIES if pretraining else 0.0
    return MemoryEstimate(
        weights=parameters * (_FLOAT + lowered),
        gradients=(trained + embedding) * _FLOAT,
        moments=2 * moments * _FLOAT,
        received=(parameters + averaged) * _FLOAT if on_cpu else 0,
        activations=sum(part.kept(compute, frozen=frozen) for part in layers),
        logits=logits,
        backward=max(part.backward(compute, frozen=frozen) for part in layers),
    )


@dataclass(frozen=True)
class _Layers:
    """A stack of layers, and the share of the tokens that pass through it."""

    num: int
    hidden: int
    heads: int
    share: float
    lora: LoraConfig | None = None

    @classmethod
    def of(cls, model: ModelConfig, share: float, lora: LoraConfig | None = None) -> "_Layers":
        return cls(model.layers, model.hidden, model.heads, share, lora)

    @property
    def inner(self) -> int:
        with torch.device("meta"):
            return EncoderBlock(self.hidden, self.heads).gate.out_features

    def kept(self, compute: Compute, *, frozen: bool) -> float:
        """Bytes a token that wait for the backward pass."""
        stream = _FLOAT * self.hidden
        ends = 3 * stream + _FLOAT * self.hidden // self.heads
        if frozen:
            return self.share * ends
        if compute.checkpointing:
            return self.share * (ends + self.num * stream)
        if self.lora is None:
            return self.share * (ends + self.num * self._whole(compute))
        lowest = lowest_adapted(self.lora, self.num)
        return self.share * (ends + sum(map(self._adapted(compute), range(lowest, self.num))))

    def _adapted(self, compute: Compute) -> Callable[[int], float]:
        """By layer, bytes a token, all kept."""
        lora, hidden, inner = self.lora or LoraConfig(), self.hidden, self.inner
        return lambda layer: adapted_layer_bytes(lora, layer, compute, hidden, inner)

    def _whole(self, compute: Compute) -> float:
        """Bytes a token and layer, all kept; of the layer that keeps most."""
        if self.lora is not None:
            return max(map(self._adapted(compute), range(self.num)))
        size = bytes_of(compute.precision)
        inputs = 2 if compute.precision == "fp32" else 5
        mixed = 1 if compute.attention in {"varlen", "flex"} else 2
        products = (inputs + 3 + mixed) * self.hidden + 4 * self.inner
        return 4 * _FLOAT * self.hidden + size * products + _FLOAT * (self.heads + 2)

    def backward(self, compute: Compute, *, frozen: bool) -> float:
        """Bytes a token that only one layer at a time has."""
        size = bytes_of(compute.precision)
        if frozen or compute.checkpointing:
            # What it keeps goes while its gradients come.
            return self.share * (self._whole(compute) + size * self.inner)
        return self.share * size * 4 * (self.hidden + self.inner)


def _pretraining_layers(study: StudyConfig) -> list[_Layers]:
    objective, model = study.objective, study.model
    if objective.kind != "masked_autoencoder":
        return [_Layers.of(model, 1.0)]
    width = decoder_width(model)
    return [
        _Layers.of(model, 1.0 - objective.hidden_share),
        _Layers(objective.decoder_layers, width, decoder_heads(model), 1.0),
    ]


def _hidden_share(study: StudyConfig) -> float:
    """Of the tokens, those that have logits."""
    objective = study.objective
    if objective.kind == "contrastive":
        return 0.0
    return objective.hidden_share if objective.kind == "masked_autoencoder" else study.masking.rate


def _model_of(
    study: StudyConfig, num_tokens: int, pretraining: bool
) -> PretrainingModel | FinetuningModel:
    if pretraining:
        return PretrainingModel.of(study, num_tokens)
    return FinetuningModel(study, num_tokens)


def _trained(study: StudyConfig, model: nn.Module) -> tuple[int, int]:
    """Of a fine-tuned model's numbers, how many are trained in a round at the most, and ever."""
    plan, last = TuningPlan.of(study), max(1, study.finetuning.rounds)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    # Parts open one after the other and stay open, or two take turns.
    most = max(
        sum(size for name, size in sizes.items() if plan.rate_factor(name, number) > 0)
        for number in {1, min(2, last), last}
    )
    return most, sum(size for name, size in sizes.items() if plan.is_trained(name))


def _words(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
