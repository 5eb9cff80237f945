"""A site file's `[schedule]` and `[monitoring]`."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from fedehr_shared.config.section import Section

_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


class ScheduleConfig(Section):
    """When the node may work for studies."""

    allowed_hours: tuple[str, ...] = ()
    """Local times as `22:00-06:00`; none: always."""
    yield_gpu: bool = False
    """Stop work, and take none, while another program uses the GPU."""

    @field_validator("allowed_hours")
    @classmethod
    def _are_hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for hours in value:
            begin, _, end = hours.partition("-")
            if not _HOURS.fullmatch(hours) or begin == end:
                raise ValueError(f"'{hours}' is not a span of hours, for example 22:00-06:00")
        return value


class MonitoringConfig(Section):
    """What the node tells about itself, on the loopback interface alone."""

    http_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Of `/healthz`, `/readyz` and `/metrics`; 0: a free one, which `status` shows."""
    grpc_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Of the gRPC health service; 0: a free one, which `status` shows."""
