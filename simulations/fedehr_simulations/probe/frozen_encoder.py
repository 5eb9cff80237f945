"""`FrozenEncoder`: a trained encoder that turns windows of tokens into one vector each."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.errors import CheckpointError
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.finetuning_model import pool
from fedehr_shared.model.weights import build_model
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import Windows

_PREFIX = "encoder."
_WINDOWS_A_BATCH = 128


class FrozenEncoder:
    """The encoder of any model of a study, whatever heads it was trained with."""

    def __init__(
        self, config: ModelConfig, num_tokens: int, weights: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """`weights`: a model's tensors by name; those of the encoder alone are read.

        Raises:
            WireError: they do not fit an encoder of this size.
        """
        own = {n.removeprefix(_PREFIX): w for n, w in weights.items() if n.startswith(_PREFIX)}
        self._encoder = build_model(lambda: EventEncoder(config, num_tokens), own).eval()
        self._pooling = config.pooling
        self._hidden = config.hidden

    def encode(self, store: TokenStore, windows: Windows) -> NDArray[np.float64]:
        """One vector a window, pooled as the study's heads would see it.

        Shape: `[windows, hidden]`.
        """
        parts = [np.empty((0, self._hidden))]
        with torch.inference_mode():
            for begin in range(0, len(windows), _WINDOWS_A_BATCH):
                batch = collate(store, windows[begin : begin + _WINDOWS_A_BATCH])
                pooled = pool(self._encoder(batch), batch.cu_seqlens, self._pooling)
                parts.append(pooled.double().numpy())
        return np.concatenate(parts)


def last_weights(run_folder: Path) -> dict[str, NDArray[np.float32]]:
    """The weights that a run ended with: those of fine-tuning or, without it, of pre-training.

    Raises:
        CheckpointError: the run left none, or they are damaged.
    """
    checkpoints = CheckpointFolder(run_folder / "checkpoints")
    try:
        return load_weights(checkpoints.latest("finetuning"))
    except CheckpointError:
        return load_weights(checkpoints.latest("pretraining"))
