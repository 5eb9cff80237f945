"""peft's format, against peft itself: what we write it computes with, what it writes we take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from lora_models import KINDS, NUM_TOKENS, make_batch, make_model, make_study
from safetensors.numpy import load_file, save_file

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, DataError
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.lora.peft_folder import read_peft_folder, write_peft_folder
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.model.weights import parameters_of

HELD = ["lora", "stabilized", "by_layer", "vera"]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def _base(folder: Path, study: StudyConfig) -> EventEncoder:
    encoder = EventEncoder(study.model, NUM_TOKENS)
    tensors = load_file(folder / "encoder.safetensors")
    encoder.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    return encoder.eval()


def _written(tmp_path: Path, kind: str) -> tuple[Path, StudyConfig, Any]:
    study = make_study(KINDS[kind])
    weights = parameters_of(make_model(study))
    folder = tmp_path / "adapters"
    folder.mkdir()
    write_peft_folder(folder, study, weights)
    return folder, study, weights


@pytest.mark.parametrize("kind", HELD)
def test_peft_computes_the_same_with_what_we_write(tmp_path: Path, kind: str) -> None:
    folder, study, _ = _written(tmp_path, kind)
    theirs: Any = peft.PeftModel.from_pretrained(_base(folder, study), folder).eval()
    ours, batch = make_model(study).encoder, make_batch()
    torch.testing.assert_close(theirs(batch), ours(batch), atol=1e-5, rtol=1e-4)
    # The adapters do something, and peft merges them as we do.
    assert (ours(batch) - _base(folder, study)(batch)).abs().max() > 0.01
    merged = theirs.merge_and_unload()
    torch.testing.assert_close(merged(batch), ours(batch), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", HELD)
def test_what_peft_saves_we_take_bit_by_bit(tmp_path: Path, kind: str) -> None:
    folder, study, weights = _written(tmp_path, kind)
    theirs: Any = peft.PeftModel.from_pretrained(_base(folder, study), folder, is_trainable=True)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator))
    theirs.eval().save_pretrained(tmp_path / "peft")
    taken = read_peft_folder(tmp_path / "peft", study, weights)
    assert taken.keys() == weights.keys()
    model = make_model(study)
    for name, parameter in model.named_parameters():
        parameter.data = torch.from_numpy(taken[name])
        assert is_adapter(name) != np.array_equal(taken[name], weights[name])
    batch = make_batch()
    torch.testing.assert_close(model.encoder(batch), theirs(batch), atol=1e-4, rtol=1e-3)
    again = tmp_path / "again"
    again.mkdir()
    write_peft_folder(again, study, taken)
    written = load_file(again / "adapter_model.safetensors")
    saved = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    assert written.keys() == saved.keys()
    assert all(np.array_equal(written[name], saved[name]) for name in saved)


def test_an_adapter_that_peft_made_by_itself_is_taken(tmp_path: Path) -> None:
    study = make_study({"rank": 4, "target_modules": ["q", "v"], "alpha": 12.0})
    weights = parameters_of(make_model(study))
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["q", "v"], lora_dropout=0.3)
    theirs: Any = peft.get_peft_model(EventEncoder(study.model, NUM_TOKENS), config)
    theirs.save_pretrained(tmp_path / "peft")
    taken = read_peft_folder(tmp_path / "peft", study, weights)
    parameters = dict(theirs.named_parameters())
    for layer in range(study.model.layers):
        for part in ("lora_A", "lora_B"):
            found = taken[f"encoder.blocks.{layer}.q.{part}.weight"]
            expected = parameters[f"base_model.model.blocks.{layer}.q.{part}.default.weight"]
            assert np.array_equal(found, expected.detach().numpy())


def test_heads_come_back_too(tmp_path: Path) -> None:
    folder, study, weights = _written(tmp_path, "lora")
    others = {n: v + 1 if n.startswith("heads.") else v for n, v in weights.items()}
    taken = read_peft_folder(folder, study, others)
    assert all(np.array_equal(taken[name], weights[name]) for name in weights)
    (folder / "heads.safetensors").unlink()
    kept = read_peft_folder(folder, study, others)
    assert np.array_equal(kept["heads.0.bias"], others["heads.0.bias"])


Change = Callable[[dict[str, Any]], object]
FIRST = "base_model.model.blocks.0.q.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop(FIRST), r"lacks 1 tensor.*blocks\.0\.q\.lora_A"),
        (lambda t: t.update(more=np.ones(2, np.float32)), "'more'"),
        (lambda t: t.update({"\x1b[31m": np.ones(2, np.float32)}), r"'\\x1b\[31m'"),
        (lambda t: t.update({FIRST: t[FIRST].T.copy()}), r"lora_A.*shape \(16, 3\)"),
        (lambda t: t.update({FIRST: t[FIRST][:2]}), r"shape \(2, 16\).*\(3, 16\)"),
        (lambda t: t.update({FIRST: t[FIRST].astype(np.float64)}), "is F64"),
        (lambda t: t.update({FIRST: t[FIRST].astype(np.int32)}), "is I32"),
        (lambda t: t.update({FIRST: t[FIRST] * np.float32(np.nan)}), "NaN or infinity"),
        (lambda t: t.update({FIRST: np.full((3, 16), np.inf, np.float16)}), "NaN or infinity"),
    ],
)  # fmt: skip
def test_each_wrong_tensor_is_refused_by_name(tmp_path: Path, change: Change, told: str) -> None:
    folder, study, weights = _written(tmp_path, "lora")
    file = folder / "adapter_model.safetensors"
    tensors: dict[str, Any] = dict(load_file(file))
    change(tensors)
    save_file(tensors, file)
    with pytest.raises(DataError, match=told):
        read_peft_folder(folder, study, weights)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(peft_type="LOHA"), "peft_type.*LOHA"),
        (lambda c: c.update(lora_alpha=8), "lora_alpha of blocks.0.q.*8.*16"),
        (lambda c: c.update(alpha_pattern={"v": 2}), r"lora_alpha of blocks\.0\.v"),
        (lambda c: c.update(alpha_pattern={"(a+)+$": 2}), "alpha_pattern"),
        (lambda c: c.update(alpha_pattern=[1]), "alpha_pattern"),
        (lambda c: c.update(use_rslora=True), "use_rslora"),
        (lambda c: c.update(use_dora=True), "use_dora"),
        (lambda c: c.update(bias="all"), "bias"),
        (lambda c: c.update(init_lora_weights="pissa"), "init_lora_weights"),
        (lambda c: c.update(modules_to_save=["heads"]), "modules_to_save"),
        (lambda c: c.update(fan_in_fan_out=True), "fan_in_fan_out"),
        (lambda c: c.update(layer_replication=[[0, 2]]), "layer_replication"),
        (lambda c: c.update({"\x1b]0;owned\x07": 1}), r"x1b\]0;owned"),
    ],
)  # fmt: skip
def test_each_setting_of_another_kind_is_refused_by_name(
    tmp_path: Path, change: Change, told: str
) -> None:
    folder, study, weights = _written(tmp_path, "lora")
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))
    with pytest.raises(DataError, match=told) as refused:
        read_peft_folder(folder, study, weights)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"r": ' + b"9" * 9_999 + b"}"],
)
def test_hostile_settings_end_in_a_clear_error(tmp_path: Path, content: bytes) -> None:
    folder, study, weights = _written(tmp_path, "lora")
    (folder / "adapter_config.json").write_bytes(content)
    with pytest.raises(DataError, match="adapter_config"):
        read_peft_folder(folder, study, weights)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "heads.safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80\x04K\x01.", b"\xff" * 64, b"\x10" + b"\0" * 7 + b'{"a":{"dtype":""',
        (2**60).to_bytes(8, "little") + b"{}",
    ],
)  # fmt: skip
def test_hostile_tensors_end_in_a_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    folder, study, weights = _written(tmp_path, "lora")
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_peft_folder(folder, study, weights)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    folder, study, weights = _written(tmp_path, "lora")
    file = folder / "adapter_model.safetensors"
    whole = file.read_bytes()
    for length in {*range(0, len(whole), len(whole) // 40), len(whole) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            read_peft_folder(folder, study, weights)


def test_no_pickle_pipe_or_giant_is_read(tmp_path: Path) -> None:
    import os

    folder, study, weights = _written(tmp_path, "lora")
    file = folder / "adapter_model.safetensors"
    file.rename(folder / "adapter_model.bin")
    with pytest.raises(DataError, match="missing"):
        read_peft_folder(folder, study, weights)
    os.mkfifo(file)
    with pytest.raises(DataError, match="missing"):
        read_peft_folder(folder, study, weights)
    file.unlink()
    with file.open("wb") as stream:
        stream.truncate(10**10)
    with pytest.raises(DataError, match="larger"):
        read_peft_folder(folder, study, weights)


def test_vectors_of_another_seed_are_refused(tmp_path: Path) -> None:
    folder, study, weights = _written(tmp_path, "vera")
    with pytest.raises(DataError, match="seed"):
        read_peft_folder(folder, study.with_seed(study.seed + 1), weights)


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    for lora, told in ((KINDS["vera_by_layer"], "peft's VeRA"), (None, "no adapters")):
        study = make_study(lora)
        with pytest.raises(ConfigError, match=told):
            write_peft_folder(tmp_path, study, parameters_of(make_model(study)))
    assert not list(tmp_path.iterdir())
