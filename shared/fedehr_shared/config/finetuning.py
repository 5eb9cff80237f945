"""`[finetuning]`: which outcomes are learnt, and which part of the model learns them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.name import Name, Share
from fedehr_shared.config.optimization import OptimizationConfig

Tuning = Literal["probe", "probe_then_full", "full", "gradual", "lora"]
LocalPart = Literal["heads", "adapters"]


class FinetuningConfig(OptimizationConfig):
    """Fine-tuning with one head a task, from the pre-trained weights.

    What is not trained is sent to each site once; rounds carry what is trained and nothing else.
    Where sites add noise, some of the defaults are others; see `private_defaults`.
    """

    tasks: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
    """Tasks, each a `labels/<task>.parquet` at the sites that hold it."""
    tuning: Tuning = "full"
    """`probe`: the heads alone. `probe_then_full`: the heads first, then everything.
    `full`: everything. `gradual`: the heads first, then layer after layer from the top.
    `lora`: heads and low-rank adapters, see `[lora]`."""
    probe_share: Share = 0.3
    """`probe_then_full` and `gradual`: this share of the rounds trains the heads alone, rounded
    up, and never all of them."""
    layer_rate_decay: Annotated[float, Field(gt=0, le=1)] = 0.8
    """`gradual`: each layer learns at this times the rate of the one above it."""
    local_parts: tuple[LocalPart, ...] = ()
    """Parts that each site trains for itself and keeps: for sites that differ."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-2
    """The heads' rate; see `encoder_rate_factor`."""
    encoder_rate_factor: Annotated[float, Field(gt=0, le=1)] = 0.03
    """The encoder's learning rate as a share of the heads'."""
    wide: bool = True
    """Add to each head a linear term over the tokens that a sequence holds. With `lora` it is off
    unless asked for: it sends a number for every token and output."""
    shortcut: bool = True
    """Heads see the tokens' embeddings beside their encodings, and the age."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the pooled encoding, in training only."""

    @model_validator(mode="before")
    @classmethod
    def _small_rounds_with_lora(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("tuning") == "lora":
            return {"wide": False, "optimizer_state": "kept", **values}
        return values

    @model_validator(mode="after")
    def _parts_belong_together(self) -> "FinetuningConfig":
        if self.tuning in {"probe_then_full", "gradual"} and self.rounds == 1:
            raise ValueError(
                f"tuning = '{self.tuning}' trains the heads first, and rounds = 1 leaves nothing "
                "for the encoder: give at least 2"
            )
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("tasks names one twice")
        if "adapters" in self.local_parts and self.tuning != "lora":
            raise ValueError("local_parts names adapters, which tuning = 'lora' alone has")
        if len(set(self.local_parts)) < len(self.local_parts):
            raise ValueError("local_parts names one twice")
        trained = {"probe": {"heads"}, "lora": {"heads", "adapters"}}.get(self.tuning)
        if trained is not None and trained <= set(self.local_parts):
            raise ValueError(
                f"local_parts keeps all that tuning = '{self.tuning}' trains at the sites, which "
                "then share nothing: leave one out"
            )
        has_adapters = self.tuning == "lora"
        if "heads" in self.local_parts and (
            self.tuning == "probe" or (has_adapters and "adapters" in self.local_parts)
        ):
            raise ValueError(
                f"tuning = '{self.tuning}' trains nothing that local_parts does not keep at the "
                "sites: no round would carry anything"
            )
        return self
