"""`ModelShelf`: the model of a study, filled anew each round instead of being built anew."""

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.weights import build_model, load_parameters

AnyModel = TypeVar("AnyModel", bound=nn.Module)
_Key = tuple[type[nn.Module], str, int, torch.device]


class ModelShelf:
    """Holds one model at the most, with what was compiled for it.

    Attributes:
        num_built: how often a model had to be built.
    """

    def __init__(self) -> None:
        self.num_built = 0
        self._key: _Key | None = None
        self._model: nn.Module | None = None
        self._is_trained: list[bool] = []

    def take(
        self,
        kind: type[AnyModel],
        make: Callable[[], AnyModel],
        *,
        study: StudyConfig,
        num_tokens: int,
        weights: Mapping[str, NDArray[np.float32]],
        device: torch.device,
    ) -> AnyModel:
        """The model with `weights` on `device`, as one that was just built.

        Args:
            kind: what `make` makes.
            make: makes it for `study` and a vocabulary of `num_tokens`.
            study: its own.
            num_tokens: the vocabulary's size.
            weights: all of its parameters.
            device: where it is to be.

        Raises:
            WireError: the weights do not fit it.
        """
        key = (kind, study.digest, num_tokens, device)
        if self._key == key:
            model = cast(AnyModel, self._model)
            load_parameters(model, weights)
            for parameter, is_trained in zip(model.parameters(), self._is_trained, strict=True):
                parameter.grad = None
                parameter.requires_grad_(is_trained)
            return model.train()
        # The old one goes first: two may not fit.
        self.clear()
        model = build_model(make, weights).to(device)
        self.num_built += 1
        self._key, self._model = key, model
        self._is_trained = [parameter.requires_grad for parameter in model.parameters()]
        return model

    def clear(self) -> None:
        """Hold no model."""
        self._key, self._model, self._is_trained = None, None, []
