"""`new_receipt`, of an answer that passed all checks; `stopped_receipt`, of one that did not."""

import hashlib

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.outbox.receipt import Receipt, TensorRecord, Verdict, new_id, utc_now
from fedehr_client.outbox.sealed_bytes import SealedBytes
from fedehr_client.site import SiteConfig
from fedehr_shared.cells import cell_of
from fedehr_shared.wire.payload import Payload


def new_receipt(
    admitted: Admitted,
    config: SiteConfig,
    sealed: SealedBytes,
    records: dict[str, TensorRecord],
    verdict: Verdict,
) -> Receipt:
    """The receipt of an answer that may leave, at once or once a person says so."""
    return _receipt(
        admitted,
        config,
        verdict=verdict,
        sha256=sealed.sha256,
        num_bytes=sealed.payload.num_bytes,
        reason="",
        records=records,
        answer=sealed.payload,
    )


def stopped_receipt(
    admitted: Admitted, config: SiteConfig, answer: Payload, reason: str
) -> Receipt:
    """The receipt of an answer that a check stopped: why, and none of what it held."""
    digest = hashlib.sha256()
    for record in answer.tensors.values():
        digest.update(record)
    return _receipt(
        admitted,
        config,
        verdict="stopped",
        sha256=digest.hexdigest(),
        num_bytes=sum(map(len, answer.tensors.values())),
        reason=reason,
        records={},
        answer=Payload(),
    )


def _receipt(
    admitted: Admitted,
    config: SiteConfig,
    *,
    verdict: Verdict,
    sha256: str,
    num_bytes: int,
    reason: str,
    records: dict[str, TensorRecord],
    answer: Payload,
) -> Receipt:
    work, study, contract = admitted.work_id, admitted.study, admitted.contract
    return Receipt(
        id=new_id(),
        time=utc_now(),
        site=config.site.name,
        contract=admitted.contract_digest,
        study=study.name,
        study_digest=work.digest,
        phase=work.phase,
        round=work.round,
        attempt=work.attempt,
        run=str(admitted.run_id),
        request=admitted.request_digest,
        min_cell=cell_of(study.vocabulary.min_cell, config.ceilings.min_cell),
        verdict=verdict,
        sha256=sha256,
        num_bytes=num_bytes,
        reason=reason,
        max_bytes=contract.max_answer_bytes.get(work.phase, 0),
        max_update_norm=contract.max_update_norm,
        tensors=records,
        values=answer.values,
    )
