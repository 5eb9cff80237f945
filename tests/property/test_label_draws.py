"""Draws of labels: nested, fair between sites, and the same for whoever asks."""

from hypothesis import given
from hypothesis import strategies as st

from fedehr_simulations.efficiency.draws import DRAWN_SPLITS, LabelDraws

SPLITS = st.fixed_dictionaries(
    {split: st.lists(st.integers(0, 10_000), unique=True, max_size=30) for split in DRAWN_SPLITS}
)
LABELLED = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), SPLITS, min_size=1)


@given(LABELLED, st.integers(0, 100), st.integers(0, 60), st.integers(0, 60))
def test_a_smaller_draw_is_the_beginning_of_a_larger(
    labelled: dict[str, dict[str, list[int]]], seed: int, one: int, other: int
) -> None:
    draws = LabelDraws.of(labelled, seed)
    small, large = draws.first(min(one, other)), draws.first(max(one, other))
    assert all(own <= large[site] for site, own in small.items())
    for split in DRAWN_SPLITS:
        assert sum(draws.counts(split, one).values()) == min(one, len(draws.order[split]))


@given(LABELLED, st.integers(0, 100), st.integers(1, 60))
def test_sites_take_turns_until_they_have_no_more(
    labelled: dict[str, dict[str, list[int]]], seed: int, num: int
) -> None:
    draws = LabelDraws.of(labelled, seed)
    for split in DRAWN_SPLITS:
        counts = {site: draws.counts(split, num).get(site, 0) for site in labelled}
        unspent = [count for site, count in counts.items() if count < len(labelled[site][split])]
        if unspent:
            assert max(counts.values()) - min(unspent) <= 1


@given(LABELLED, st.integers(0, 100))
def test_all_labels_are_drawn_once_and_no_other(
    labelled: dict[str, dict[str, list[int]]], seed: int
) -> None:
    draws = LabelDraws.of(labelled, seed)
    for split in DRAWN_SPLITS:
        told = draws.order[split]
        assert len(set(told)) == len(told)
        assert set(told) == {(site, s) for site, own in labelled.items() for s in own[split]}
    reordered = {
        site: {split: own[split][::-1] for split in own} for site, own in reversed(labelled.items())
    }
    same = {site: {s: sorted(v) for s, v in own.items()} for site, own in labelled.items()}
    assert (
        LabelDraws.of(same, seed).order
        == LabelDraws.of(
            {site: {s: sorted(v) for s, v in own.items()} for site, own in reordered.items()}, seed
        ).order
    )
