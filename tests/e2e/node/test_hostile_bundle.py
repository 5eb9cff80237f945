"""A bundle that carries code: the engine's own client runs it, a hospital's node does not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian]


@pytest.fixture(scope="module")
def network(
    make_network: Callable[..., Any], node_apps: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """One node of ours and one of the engine's."""
    records = tmp_path_factory.mktemp("records") / "ours"
    for part in ("data", "metadata", "labels"):
        (records / part).mkdir(parents=True)
    made = make_network()
    made.join("ours", records)
    stock = node_apps.stock_node.StockNode(made, "stock")
    try:
        stock.start()
        yield made
    finally:
        stock.stop()


@pytest.mark.parametrize(
    "kind",
    [
        "client app",
        pytest.param("whole package", marks=pytest.mark.long),
        pytest.param("other module", marks=pytest.mark.long),
    ],
)
def test_stock_runs_what_it_is_sent_and_the_node_does_not(
    network: Any, node_apps: Any, run_bundle: Any, tmp_path: Path, kind: str
) -> None:
    trace = tmp_path / "ran"
    bundle = node_apps.hostile_bundle.make_bundle(tmp_path / "bundle", trace, kind)
    answers = run_bundle(network, bundle, kind.replace(" ", "-"), num_sites=2)
    assert len(answers) == 2
    stolen = [answer for answer in answers if answer.get("values", {}).get("stolen")]
    refused = [answer for answer in answers if answer.get("values", {}).get("error")]
    assert (len(stolen), len(refused)) == (1, 1), answers
    lines = trace.read_text().splitlines()
    at_coordinator = [line for line in lines if "/flwr run " in line]
    by_stock = [line for line in lines if "flwr-clientapp" in line]
    assert by_stock
    assert len(at_coordinator) + len(by_stock) == len(lines), lines
