"""`[exchange]`: how tensors travel."""

from typing import Literal

from fedehr_shared.config.section import Section

WireDtype = Literal["fp32", "bf16", "fp16", "int8"]


class ExchangeConfig(Section):
    """The form of tensors on the wire; both ends compute with 32 bits all the same."""

    dtype: WireDtype = "fp16"
    """`int8` is for sites' updates: rounded at random, and what is lost is added to the site's
    next update; everything else then travels as fp16."""
    compress: bool = True
    """With zstd, where it makes a tensor smaller; fp16 is still encoded at more than 1 GB of
    float32 a second and core."""

    @property
    def state_dtype(self) -> WireDtype:
        """Of weights and moments: of what nothing could make up for later."""
        return "fp16" if self.dtype == "int8" else self.dtype
