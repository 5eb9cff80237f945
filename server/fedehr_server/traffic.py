"""Bytes that a run moves, by node and by round: what the records hold, without framing.

The weights that a site is sent once are told apart: no round after that carries them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedehr_shared.wire.payload import Payload


@dataclass
class Traffic:
    """Counts bytes up (from sites) and down (to sites), and of the latter those of the base."""

    up: Counter[int] = field(default_factory=Counter)
    down: Counter[int] = field(default_factory=Counter)
    base: Counter[int] = field(default_factory=Counter)
    per_round: list[dict[str, int | str]] = field(default_factory=list)

    def sent(self, node: int, request: Payload) -> None:
        """Count a request."""
        self.down[node] += request.num_bytes
        self.base[node] += len(request.tensors.get("base", b""))

    def close_round(self, phase: str, number: int) -> tuple[int, int]:
        """End a round; its bytes up and down over all nodes."""
        before_up = sum(int(entry["up"]) for entry in self.per_round)
        before_down = sum(int(entry["down"]) for entry in self.per_round)
        before_base = sum(int(entry["base"]) for entry in self.per_round)
        up, down = self.up.total() - before_up, self.down.total() - before_down
        base = self.base.total() - before_base
        self.per_round.append(
            {"phase": phase, "round": number, "up": up, "down": down, "base": base}
        )
        return up, down

    def summary(self, site_names: Mapping[int, str]) -> dict[str, object]:
        """Bytes by site and by round; a node that never answered goes by its number."""
        by_site = {"up": self.up, "down": self.down, "base": self.base}
        told: dict[str, object] = {
            f"{name}_per_site": {site_names.get(n, f"node {n}"): b for n, b in counts.items()}
            for name, counts in by_site.items()
        }
        return {**told, "per_round": self.per_round}
