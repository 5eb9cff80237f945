"""Bytes that a run moves, by node and by round: what the records hold, without framing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Traffic:
    """Counts bytes up (from sites) and down (to sites)."""

    up: Counter[int] = field(default_factory=Counter)
    down: Counter[int] = field(default_factory=Counter)
    per_round: list[dict[str, int | str]] = field(default_factory=list)

    def close_round(self, phase: str, number: int) -> tuple[int, int]:
        """End a round; its bytes up and down over all nodes."""
        before_up = sum(int(entry["up"]) for entry in self.per_round)
        before_down = sum(int(entry["down"]) for entry in self.per_round)
        up, down = self.up.total() - before_up, self.down.total() - before_down
        self.per_round.append({"phase": phase, "round": number, "up": up, "down": down})
        return up, down

    def summary(self, site_names: Mapping[int, str]) -> dict[str, object]:
        """Bytes by site and by round; a node that never answered goes by its number."""
        return {
            "up_per_site": {site_names.get(n, f"node {n}"): b for n, b in self.up.items()},
            "down_per_site": {site_names.get(n, f"node {n}"): b for n, b in self.down.items()},
            "per_round": self.per_round,
        }
