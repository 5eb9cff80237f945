"""`FrozenEncoder`: a trained encoder that turns windows of tokens into one vector each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import CheckpointError, UsageError
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.heads.pooling import AttentionPooling, pool
from fedehr_shared.model.lora.merging import merged
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.model.weights import build_model, load_parameters
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import Windows

_PREFIX, _QUERY = "encoder.", "pooling.query.weight"
_WINDOWS_A_BATCH = 128


class FrozenEncoder:
    """The encoder of any model of a study, whatever heads it was trained with."""

    def __init__(
        self, config: ModelConfig, num_tokens: int, weights: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """`weights`: a model's tensors by name; those of the encoder alone are read, and the query
        of attention pooling, if there is one.

        Raises:
            WireError: they do not fit an encoder of this size.
        """
        own = {n.removeprefix(_PREFIX): w for n, w in weights.items() if n.startswith(_PREFIX)}
        self._encoder = build_model(lambda: EventEncoder(config, num_tokens), own).eval()
        self._pooling = config.pooling
        self._query = weights.get(_QUERY)
        self._hidden = config.hidden

    def encode(self, store: TokenStore, windows: Windows) -> NDArray[np.float64]:
        """One vector a window, pooled as the study's heads would see it.

        Shape: `[windows, hidden]`.
        """
        return self.encode_pooled(store, windows, (self._pooling,))[self._pooling]

    def encode_pooled(
        self, store: TokenStore, windows: Windows, poolings: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """One vector a window for each way of pooling, at the cost of one.

        Shape: each `[windows, hidden]`.

        Raises:
            UsageError: attention is asked for, and the run trained no query for it.
        """
        parts = {how: [np.empty((0, self._hidden))] for how in poolings}
        with torch.inference_mode():
            for begin in range(0, len(windows), _WINDOWS_A_BATCH):
                batch = collate(store, windows[begin : begin + _WINDOWS_A_BATCH])
                encoded = self._encoder(batch)
                for how, own in parts.items():
                    pooled = self._pool(encoded, batch.cu_seqlens, how)
                    own.append(pooled.double().numpy())
        return {how: np.concatenate(own) for how, own in parts.items()}

    def _pool(self, encoded: torch.Tensor, places: torch.Tensor, how: str) -> torch.Tensor:
        if how != "attention":
            return pool(encoded, places, how)
        if self._query is None:
            raise UsageError(
                "the study pools by attention, and what it attends to is learnt with the heads: "
                'these weights were never fine-tuned. Give the study [model] pooling = "mean" or '
                '"sum" for this, or probe a run that was fine-tuned with attention.'
            )
        pooling = AttentionPooling(self._hidden)
        load_parameters(pooling, {"query.weight": self._query})
        pooled: torch.Tensor = pooling(encoded, places)
        return pooled


def without_adapters(
    weights: Mapping[str, NDArray[np.float32]], study: StudyConfig
) -> Mapping[str, NDArray[np.float32]]:
    """Weights with their adapters, if any, folded into the matrices.

    Raises:
        WireError: a tensor is missing.
    """
    return merged(weights, study) if any(map(is_adapter, weights)) else weights


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
