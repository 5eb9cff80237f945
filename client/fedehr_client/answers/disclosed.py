"""`require_disclosed`: nothing is sent that the table of disclosures does not name."""

from fedehr_shared.errors import WireError
from fedehr_shared.privacy.key_patterns import key_patterns
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work


def require_disclosed(payload: Payload, work: Work) -> Payload:
    """The answer itself, where docs/privacy.md names all that it holds.

    Raises:
        WireError: it holds something else, or what the study withholds. Names alone are told.
    """
    unknown = key_patterns(work.study.to_json()).unknown(work.id.phase, payload)
    if unknown:
        raise WireError(
            f"the answer holds {', '.join(sorted(unknown))}, of which the table of what leaves a "
            "site (docs/privacy.md) knows nothing. Nothing was sent. Report this as a fault."
        )
    return payload
