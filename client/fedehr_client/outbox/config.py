"""`OutboxConfig`: a site file's `[outbox]`."""

from typing import Annotated

from pydantic import Field

from fedehr_shared.config.section import Section


class OutboxConfig(Section):
    """What happens to an answer before it leaves."""

    hold: bool = False
    """Each answer waits until a person says `fedehr-client outbox release`."""
    receipt_days: Annotated[int, Field(ge=1, le=36_500)] = 3_650
    """How long receipts are kept."""
