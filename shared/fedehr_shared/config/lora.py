"""`[lora]`: low-rank adapters, and how those of the sites become one."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.section import Section

TargetModule = Literal["q", "k", "v", "o", "gate", "up", "down"]
Aggregation = Literal["average", "frozen_a", "alternating", "reprojection", "stacking"]
RESTARTING: tuple[Aggregation, ...] = ("reprojection", "stacking")
"""Those that give a round other adapters than any site had, and fold the rest into the base."""


class LoraConfig(Section):
    """With `tuning = "lora"` (Hu et al. 2022): a frozen matrix gets a trained product B A."""

    variant: Literal["lora", "vera"] = "lora"
    """`vera` (Kopiczko et al. 2024): A and B are drawn once and frozen, and two vectors learn."""
    rank: Annotated[int, Field(ge=1, le=4_096)] = 8
    alpha: Annotated[float, Field(gt=0, le=10_000)] = 16.0
    """The product is scaled by alpha / rank."""
    rank_stabilized: bool = False
    """Scale by alpha / sqrt(rank) instead (Kalajdzievski 2023)."""
    target_modules: Annotated[tuple[TargetModule, ...], Field(min_length=1)] = ("q", "v")
    """Matrices of every layer that get adapters."""
    layer_ranks: tuple[Annotated[int, Field(ge=0, le=4_096)], ...] = ()
    """A rank for each layer, from the lowest; 0: no adapters there; empty: `rank` everywhere."""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 0.3
    """The adapters' learning rate as a share of the heads'."""
    b_rate_factor: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """LoRA+ (Hayou et al. 2024): B's learning rate as a multiple of A's."""
    aggregation: Aggregation = "average"
    """`average`: A and B apart. `frozen_a` (LoRA-FA, FFA-LoRA): A never learns. `alternating`
    (RoLoRA): B in odd rounds, A in even ones. `reprojection`: the sites' products are summed
    and cut to the rank, the rest is folded into the base. `stacking` (FLoRA): the whole sum is
    folded into the base, and adapters start anew."""

    @model_validator(mode="after")
    def _known_pairs(self) -> "LoraConfig":
        if len(set(self.target_modules)) < len(self.target_modules):
            raise ValueError("target_modules names one twice")
        if self.variant == "vera" and self.aggregation != "average":
            raise ValueError(
                f"variant 'vera' has no A and B to learn: aggregation '{self.aggregation}' has "
                "no meaning for it, leave it out"
            )
        if self.variant == "vera" and self.b_rate_factor != 1:
            raise ValueError("variant 'vera' has no B to learn: leave out b_rate_factor")
        plain = type(self).model_fields["alpha"].default
        if self.variant == "vera" and (self.alpha != plain or self.rank_stabilized):
            raise ValueError("variant 'vera' learns its scale: leave out alpha and rank_stabilized")
        if self.layer_ranks and not any(self.layer_ranks):
            raise ValueError("layer_ranks leaves every layer without adapters")
        return self

    @property
    def restarts(self) -> bool:
        """Whether a round's adapters are others than any site trained."""
        return self.aggregation in RESTARTING

    def rank_of(self, layer: int) -> int:
        """The rank of a layer's adapters, counted from the lowest layer as 0."""
        return self.layer_ranks[layer] if self.layer_ranks else self.rank

    def scale_of(self, layer: int) -> float:
        """What a layer's product is multiplied by."""
        rank = self.rank_of(layer)
        return self.alpha / (rank**0.5 if self.rank_stabilized else rank)
