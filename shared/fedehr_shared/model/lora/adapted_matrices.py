"""`AdaptedMatrix`: where in a model the adapters of a study are."""

from dataclasses import dataclass

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError


@dataclass(frozen=True)
class AdaptedMatrix:
    """A matrix of the encoder that has an adapter.

    Attributes:
        module: its layer's name within `FinetuningModel`, as `encoder.blocks.0.q`.
        layer: counted from the lowest as 0.
        rank: of the adapter.
        scale: what the product of A and B is multiplied by; VeRA has none.
    """

    module: str
    layer: int
    rank: int
    scale: float

    @property
    def weight(self) -> str:
        """The name of the matrix itself."""
        return f"{self.module}.weight"

    @property
    def lora_A(self) -> str:
        """The name of A, `[rank, in]`."""
        return f"{self.module}.lora_A.weight"

    @property
    def lora_B(self) -> str:
        """The name of B, `[out, rank]`."""
        return f"{self.module}.lora_B.weight"

    @property
    def vera_d(self) -> str:
        """The name of VeRA's inner vector, `[rank]`."""
        return f"{self.module}.vera_d.weight"

    @property
    def vera_b(self) -> str:
        """The name of VeRA's outer vector, `[out]`."""
        return f"{self.module}.vera_b.weight"


def adapted_matrices(study: StudyConfig) -> list[AdaptedMatrix]:
    """All of a study, layer after layer; none where `tuning` is not `lora`."""
    if study.finetuning.tuning != "lora":
        return []
    lora = study.lora
    return [
        AdaptedMatrix(
            f"encoder.blocks.{layer}.{name}",
            layer,
            lora.rank_of(layer),
            lora.scale_of(layer) if lora.variant == "lora" else 1.0,
        )
        for layer in range(study.model.layers)
        if lora.rank_of(layer)
        for name in lora.target_modules
    ]


def check_has_adapters(study: StudyConfig) -> None:
    """Refuse a study whose run has no adapters of the federation.

    Raises:
        ConfigError: saying why.
    """
    if study.finetuning.tuning != "lora":
        raise ConfigError(
            f"the study has [finetuning] tuning = '{study.finetuning.tuning}', and so no adapters. "
            "Name a run with tuning = 'lora'."
        )
    if "adapters" in study.finetuning.local_parts:
        raise ConfigError(
            "the study keeps adapters at the sites ([finetuning] local_parts): the run has none."
        )
