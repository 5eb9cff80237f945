"""`Base`: the weights that no round trains, which each site is sent once."""

from dataclasses import dataclass, field

from fedehr_shared.model.digest import digest_of
from fedehr_shared.model.lora.fold import apply_fold
from fedehr_shared.wire.payload import Arrays


@dataclass(frozen=True)
class Base:
    """Frozen weights as every site holds them: rounded as the wire rounds.

    Attributes:
        tensors: by name; empty where every weight is trained.
        digest: names them; empty where there are none.
        fold: what the last round added to them; None: nothing.
        fold_from: the digest before that.
    """

    tensors: Arrays = field(default_factory=dict)
    digest: str = ""
    fold: Arrays | None = None
    fold_from: str = ""

    @classmethod
    def of(cls, tensors: Arrays) -> "Base":
        """The base of a phase's first round."""
        return cls(tensors, digest_of(tensors) if tensors else "")

    def folded(self, fold: Arrays | None) -> "Base":
        """The base after a round.

        Its digest names how it came about, so that a site need not read all of its bytes again.

        Args:
            fold: factors as the wire rounds them; None: the round changed nothing.
        """
        if fold is None:
            return Base(self.tensors, self.digest)
        digest = digest_of(fold, self.digest)
        return Base(apply_fold(self.tensors, fold), digest, fold, self.digest)
