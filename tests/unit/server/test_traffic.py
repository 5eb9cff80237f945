"""Bytes by site and by round add up to what moved."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_server.traffic import Traffic

moves = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**9), st.integers(0, 10**9)))


@settings(deadline=None)
@given(rounds=st.lists(moves, min_size=1, max_size=5))
def test_rounds_and_sites_add_up(rounds: list[list[tuple[int, int, int]]]) -> None:
    traffic = Traffic()
    for number, moved in enumerate(rounds, start=1):
        for node, up, down in moved:
            traffic.up[node] += up
            traffic.down[node] += down
        told = traffic.close_round("pretraining", number)
        assert told == (sum(u for _, u, _ in moved), sum(d for _, _, d in moved))
    summary = traffic.summary({0: "north"})
    total = sum(up for moved in rounds for _, up, _ in moved)
    ups = summary["up_per_site"]
    assert isinstance(ups, dict)
    assert sum(ups.values()) == total
    assert set(ups) <= {"north", "node 1", "node 2", "node 3"}
    per_round = summary["per_round"]
    assert isinstance(per_round, list)
    assert [entry["round"] for entry in per_round] == list(range(1, len(rounds) + 1))
    assert sum(entry["up"] for entry in per_round) == total
