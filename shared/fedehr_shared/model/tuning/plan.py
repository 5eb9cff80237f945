"""`TuningPlan`: by a parameter's name, whether and how fast it learns, and whether it travels.

Both ends read it: what the one leaves out of a round, the other does not expect.
"""

import math
import re
from dataclasses import dataclass

from fedehr_shared.config.finetuning import FinetuningConfig
from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.config.study import StudyConfig

_ENCODER = "encoder."
_LAYER = re.compile(r"encoder\.blocks\.(\d+)\.")
_FACTOR_A, _FACTOR_B, _VECTORS = ".lora_A.", ".lora_B.", ".vera_"


@dataclass(frozen=True)
class TuningPlan:
    """The plan of a study's fine-tuning.

    Every parameter of the model is one of three:

    - of the *base*: never trained. A site is sent it once, by its digest
    - *travelling*: trained, and averaged over the sites
    - *local*: trained, and kept at its site

    Attributes:
        config: `[finetuning]`.
        lora: `[lora]`.
        num_layers: of the encoder.
    """

    config: FinetuningConfig
    lora: LoraConfig
    num_layers: int

    @classmethod
    def of(cls, study: StudyConfig) -> "TuningPlan":
        """The plan of a study."""
        return cls(study.finetuning, study.lora, study.model.layers)

    def rate_factor(self, name: str, round_number: int) -> float:
        """A parameter's learning rate in a round, as a share of the heads'; 0: it is frozen.

        Args:
            name: as in `named_parameters` of `FinetuningModel`.
            round_number: from 1.
        """
        if is_adapter(name):
            return self._adapter_rate(name, round_number)
        if not name.startswith(_ENCODER):
            return 1.0
        if self.config.tuning in {"probe", "lora"} or self._is_probing(round_number):
            return 0.0
        if self.config.tuning == "gradual":
            return self._gradual_rate(name, round_number)
        return self.config.encoder_rate_factor

    def is_trained(self, name: str) -> bool:
        """Whether a parameter learns in some round."""
        return any(self.rate_factor(name, number) > 0 for number in self._rounds)

    def first_round(self, name: str) -> int:
        """The round in which a trained parameter begins to learn.

        Raises:
            ValueError: it never does.
        """
        for number in self._rounds:
            if self.rate_factor(name, number) > 0:
                return number
        raise ValueError(f"{name} is not trained in any round")

    def is_local(self, name: str) -> bool:
        """Whether each site trains a parameter for itself and keeps it."""
        kept = self.config.local_parts
        is_head = not name.startswith(_ENCODER)
        return ("heads" in kept and is_head) or ("adapters" in kept and is_adapter(name))

    def travels(self, name: str) -> bool:
        """Whether a parameter is in every round's request."""
        return self.is_trained(name) and not self.is_local(name)

    def is_base(self, name: str) -> bool:
        """Whether a parameter is sent once, and stays as it is."""
        return not self.is_trained(name) and not self.is_local(name)

    def is_answered(self, name: str, round_number: int) -> bool:
        """Whether a parameter is in the sites' answers of a round."""
        return self.rate_factor(name, round_number) > 0 and not self.is_local(name)

    @property
    def num_probe_rounds(self) -> int:
        """Rounds that train the heads alone, before the encoder's part begins."""
        if self.config.tuning not in {"probe_then_full", "gradual"}:
            return 0
        # The last round is never one of them: that would be tuning = "probe".
        asked = math.ceil(self.config.probe_share * self.config.rounds)
        return max(0, min(asked, self.config.rounds - 1))

    @property
    def _rounds(self) -> range:
        # A study without fine-tuning has a plan all the same.
        return range(1, max(1, self.config.rounds) + 1)

    def _is_probing(self, round_number: int) -> bool:
        return round_number <= self.num_probe_rounds

    def _adapter_rate(self, name: str, round_number: int) -> float:
        rate, is_a, is_b = self.lora.rate_factor, _FACTOR_A in name, _FACTOR_B in name
        if self.lora.aggregation == "frozen_a" and is_a:
            return 0.0
        if self.lora.aggregation == "alternating" and is_a == bool(round_number % 2):
            return 0.0
        return rate * self.lora.b_rate_factor if is_b else rate

    def _gradual_rate(self, name: str, round_number: int) -> float:
        """Depths count from the top: 0 is the last layer, with the norm after it; embeddings
        are deepest (Howard and Ruder 2018, sections 3.2 and 3.3).

        The rounds after the probe are shared out evenly, so that all is open by the last one; with
        fewer rounds than layers several open at once.
        """
        found = _LAYER.match(name)
        if found is not None:
            depth = self.num_layers - 1 - int(found.group(1))
        else:
            depth = 0 if name.startswith("encoder.norm.") else self.num_layers
        num_open = self.config.rounds - self.num_probe_rounds
        since = round_number - self.num_probe_rounds - 1
        if since < depth * num_open // (self.num_layers + 1):
            return 0.0
        return self.config.encoder_rate_factor * self.config.layer_rate_decay**depth


def is_adapter(name: str) -> bool:
    """Whether a parameter belongs to a low-rank adapter."""
    return _FACTOR_A in name or _FACTOR_B in name or _VECTORS in name
