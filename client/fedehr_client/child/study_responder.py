"""`StudyResponder`: a study's requests, answered for the site that the environment names."""

import logging
import os

import torch

from fedehr_client.answers.reply import reply_to
from fedehr_client.answers.warm_study import WarmStudy
from fedehr_client.locator import SiteLocation, SiteLocator
from fedehr_shared.wire.payload import Payload

log = logging.getLogger("fedehr.client")


class StudyResponder:
    """Keeps records and model warm between requests."""

    def __init__(self) -> None:
        self._warm = WarmStudy()

    def answer(self, request: Payload) -> Payload:
        """A report, or a code and a reference whose reason the log has."""
        payload = reply_to(
            lambda: request, lambda: SiteLocator().locate(os.environ, {}), self._warm
        )
        log.info(
            "records opened %d times, models built %d times",
            self._warm.num_opened,
            self._warm.models.num_built,
        )
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            # Between rounds others may have it.
            torch.cuda.empty_cache()
        return payload

    def idle(self) -> None:
        """Hold no records that were replaced or erased meanwhile."""
        self._warm.clear_outdated()


def _site() -> SiteLocation:
    return SiteLocator().locate(os.environ, {})
