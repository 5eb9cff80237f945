"""Attention backends: where each can be used, and what each is handed."""

import subprocess
import sys
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention.flex_attention import flex_attention
from torch.utils._python_dispatch import TorchDispatchMode

from fedehr_shared.config.model import SIZES, ModelConfig
from fedehr_shared.errors import ConfigError
from fedehr_shared.model.attention import flex
from fedehr_shared.model.attention.attention_layout import AttentionLayout
from fedehr_shared.model.attention.backends import attention_backend, available
from fedehr_shared.model.attention.layout import SequenceLayout
from fedehr_shared.model.attention.padded import attend_padded
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.stack import compile_blocks, set_attention
from fedehr_shared.tokens.batch import EventBatch

CONFIG = ModelConfig(layers=2, hidden=32, heads=2)
NUM_TOKENS = 50


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _batch(lengths: list[int]) -> EventBatch:
    num = sum(lengths)
    boundaries = [0, *accumulate(lengths)]
    return EventBatch(
        torch.arange(num) % NUM_TOKENS, torch.arange(num) * 1.5, torch.arange(num) / 100,
        torch.arange(num) % 8, torch.arange(num) % 4, torch.tensor(boundaries), boundaries,
    )  # fmt: skip


def test_backends_that_cannot_train_here_say_why() -> None:
    for precision in ("fp32", "bf16", "fp16"):
        for device in ("cpu", "cuda"):
            assert available("sdpa", device, precision) is None
            assert available("padded", device, precision) is None
        assert "CUDA" in str(available("varlen", "cpu", precision))
        assert "no backward pass on a CPU" in str(available("flex", "cpu", precision))
        assert available("flex", "cuda", precision, head_size=32) is None
    assert "fp32" in str(available("varlen", "cuda", "fp32"))
    assert "not 12" in str(available("varlen", "cuda", "bf16", head_size=12))
    assert "not 512" in str(available("varlen", "cuda", "bf16", head_size=512))
    assert "not 8" in str(available("flex", "cuda", "bf16", head_size=8))


def test_every_named_size_suits_every_backend() -> None:
    for size in SIZES.values():
        head_size = size.hidden // size.heads
        assert "head" not in str(available("varlen", "cuda", "bf16", head_size))
        assert available("flex", "cuda", "fp32", head_size) is None


def test_an_unknown_backend_is_refused_and_the_model_stays() -> None:
    encoder = EventEncoder(CONFIG, NUM_TOKENS)
    with pytest.raises(ConfigError, match=r"flash3.*sdpa, varlen, flex, padded"):
        set_attention(encoder, "flash3")
    with pytest.raises(ConfigError):
        available("flash3", "cpu", "fp32")
    assert all(block.attention is attention_backend("sdpa") for block in encoder.blocks)


def test_flex_attention_is_the_padded_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward, by the reference that torch traces; the kernels are tested in tests/gpu."""
    compiled = torch.compile(flex_attention, backend="eager", dynamic=True)
    monkeypatch.setattr(flex, "_compiled", lambda: compiled)
    for lengths in ([1], [1, 128, 3], [127, 129], [300, 5, 1, 260]):
        whole = SequenceLayout.of(_batch(lengths))
        layout = AttentionLayout(whole, whole)
        query, key, value = torch.randn(3, sum(lengths), 2, 16)
        with torch.no_grad():
            ours = flex.attend_flex(query, key, value, layout)
            reference = attend_padded(query, key, value, layout)
        torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


class Handed(TorchDispatchMode):
    """Notes what FlashAttention is given."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: list[tuple[Any, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.torch_attn._varlen_attn.default:
            self.arguments.append(args)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_varlen_attention_is_handed_what_its_kernels_take(dtype: torch.dtype) -> None:
    """Shapes and types alone: there is no kernel for this processor."""
    lengths = [5, 1, 9]
    with FakeTensorMode(), torch.autocast("cpu", dtype), Handed() as handed:
        encoder = EventEncoder(CONFIG, NUM_TOKENS)
        set_attention(encoder, "varlen")
        encoded = encoder(_batch(lengths))
        encoded.sum().backward()
    assert encoded.shape == (15, CONFIG.hidden)
    for parameter in encoder.parameters():
        assert parameter.grad is not None
        assert (parameter.grad.shape, parameter.grad.dtype) == (parameter.shape, torch.float32)
    assert len(handed.arguments) == CONFIG.layers
    for query, key, value, *places, longest_query, longest_key in (
        arguments[:7] for arguments in handed.arguments
    ):
        for x in (query, key, value):
            assert (x.dtype, x.shape, x.stride(-1)) == (dtype, (15, 2, 16), 1)
        for place in places:
            assert (place.dtype, place.shape) == (torch.int32, (len(lengths) + 1,))
            assert place.is_contiguous()
        assert longest_query == longest_key == 9


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_layers_compute_the_same_and_keep_their_names() -> None:
    torch.manual_seed(0)
    plain, compiled = EventEncoder(CONFIG, NUM_TOKENS), EventEncoder(CONFIG, NUM_TOKENS)
    compiled.load_state_dict(plain.state_dict())
    compile_blocks(compiled)
    set_attention(compiled, "sdpa")
    torch._dynamo.utils.counters.clear()
    for lengths in ([4, 9, 2], [30], [1, 1, 50, 3], [7, 7]):
        found = []
        for encoder in (plain, compiled):
            encoder.zero_grad()
            encoded = encoder(_batch(lengths))
            encoded.square().mean().backward()
            found.append([encoded.detach(), *(p.grad for p in encoder.parameters())])
        torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)
    names = [[name for name, _ in e.named_parameters()] for e in (plain, compiled)]
    assert names[0] == names[1]
    # Two halves around the attention, for all layers and lengths.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


def test_a_process_without_cuda_does_not_wait_for_torchs_compiler() -> None:
    """It takes as long to load as torch itself: every command and node process would."""
    code = """
import sys
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.attention.backends import available
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.stack import set_attention

study = StudyConfig.model_validate({"name": "any", "finetuning": {"tasks": ["a"]}})
models = [FinetuningModel(study, 30), PretrainingModel.of(study, 30)]
assert all(available(name, "cpu", "fp32") for name in ("varlen", "flex"))
for model in models:
    set_attention(model, "sdpa")
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
