"""The map: one private page, complete in itself, and nobody's number in it."""

import re
import stat
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fedehr_shared.meds.schema import SPLITS
from fedehr_simulations.probe.embedding import MAX_POINTS, MapPoints, map_points
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.map_page import write_map
from fedehr_simulations.probe.record import CandidateResult, ProbeRecord, SitesTold
from fedehr_simulations.verdict.result import Interval

FIRST_ID = 7_340_033_000
NONE = Interval.withheld("nothing to tell")


def _by_site(
    num: int, sites: tuple[str, ...] = ("north", "_south <b>")
) -> dict[str, dict[str, Encodings]]:
    """Two clusters: positives of the one task there is lie far from negatives."""
    generator = np.random.default_rng(4)
    found: dict[str, dict[str, Encodings]] = {}
    for place, name in enumerate(sites):
        found[name] = {}
        for number, split in enumerate(SPLITS):
            labels = (np.arange(num) % 2).astype(np.float64)[:, None]
            vectors = generator.normal(size=(num, 6)) + 12 * labels
            begin = FIRST_ID + 100_000 * place + 10_000 * number
            ids = begin + np.arange(num, dtype=np.int64)
            found[name][split] = Encodings(vectors, labels, ids)
    return found


def _record() -> ProbeRecord:
    candidate = CandidateResult(
        run="runs/<first>",
        checkpoint="pretraining-0002",
        pooling="mean",
        tuning={"death": NONE},
        tuning_mean=NONE,
        is_tied=False,
        masked_loss=None,
    )
    told = SitesTold(sites=(), auroc=NONE, accuracy=NONE, chance=None, untrained_auroc=NONE)
    return ProbeRecord(
        sites=("north", "_south <b>"),
        tasks=("death",),
        left_out=(),
        min_cell=11,
        num_neighbors=10,
        candidates=(candidate,),
        chosen=0,
        worth=(),
        neighborhoods=(),
        sites_told=told,
        in_words=(),
    )


@pytest.fixture(scope="module")
def points() -> MapPoints:
    found = map_points(_by_site(60))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def page(points: MapPoints, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "map.html"
    write_map(points, _record(), path)
    return path


def test_the_page_is_private(page: Path) -> None:
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert [file.name for file in page.parent.iterdir()] == ["map.html"]


def test_the_page_asks_for_nothing_from_outside_and_runs_nothing(page: Path) -> None:
    text = page.read_text()
    assert "<script" not in text
    assert "default-src 'none'" in text
    links = re.findall(r'(?:href|src)="([^"]*)"', text) + re.findall(r"url\(([^)]*)\)", text)
    assert links
    assert all(link.startswith("#") for link in links)


def test_the_page_holds_a_point_an_example_and_no_identifier(page: Path) -> None:
    text = page.read_text()
    for own in _by_site(60).values():
        for encodings in own.values():
            assert not any(str(number) in text for number in encodings.subject_ids.tolist())
    svgs = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(svgs) == 2
    for svg in svgs:
        drawn = ElementTree.fromstring(svg.replace("xlink:href", "href"))
        marks = [node for node in drawn.iter() if node.tag.endswith("use")]
        # The legend shows each of two groups once more.
        assert len(marks) == 120 + 2
    assert "_south &lt;b&gt;" in text
    assert "<b>" not in text
    assert "must not leave" in " ".join(text.split())


def test_what_lies_apart_lies_apart_on_the_map_and_again_the_same(points: MapPoints) -> None:
    again = map_points(_by_site(60))
    assert again is not None
    np.testing.assert_array_equal(points.positions, again.positions)
    distances = np.linalg.norm(points.positions[:, None] - points.positions[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    labels = points.labels[:, 0]
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.98


def test_points_come_in_an_order_of_their_own(points: MapPoints) -> None:
    assert points.sites.tolist() != sorted(points.sites.tolist())
    assert np.unique(points.sites, return_counts=True)[1].tolist() == [60, 60]


def test_few_examples_have_no_map_and_very_many_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    assert map_points(_by_site(14)) is None
    monkeypatch.setattr("fedehr_simulations.probe.embedding.MAX_POINTS", 50)
    assert MAX_POINTS > 50
    points = map_points(_by_site(60))
    assert points is not None
    assert points.positions.shape == (50, 2)
    assert points.num_examples == 120
