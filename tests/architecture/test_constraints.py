"""`constraints.txt` pins everything that an installation of `fedehr[dev]` takes."""

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins}


def _installed_closure(name: str, extras: frozenset[str], seen: set[str]) -> Iterator[str]:
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker and not any(requirement.marker.evaluate(w) for w in wanted):
            continue
        key = f"{canonicalize_name(requirement.name)}[{','.join(sorted(requirement.extras))}]"
        if key in seen:
            continue
        seen.add(key)
        yield canonicalize_name(requirement.name)
        yield from _installed_closure(requirement.name, frozenset(requirement.extras), seen)


def test_everything_that_gets_installed_is_pinned_at_the_version_that_is_here() -> None:
    pins = _pins()
    needed = set(_installed_closure("fedehr", frozenset({"dev"}), set())) - {"fedehr"}
    assert len(needed) > 60
    assert sorted(needed - pins.keys()) == []
    # A local tag such as +cpu names a build, not another version.
    found = {name: distribution(name).version.split("+")[0] for name in needed}
    assert {n: v for n, v in found.items() if pins[n] != v} == {}


def test_nothing_is_pinned_that_nothing_needs() -> None:
    needed = set(_installed_closure("fedehr", frozenset({"dev"}), set()))
    # The build backend: pip installs it apart, under the same constraints (see Makefile).
    build = {"hatchling", "tomlkit", "trove-classifiers"}
    assert sorted(_pins().keys() - needed - build) == []


def test_torch_is_pinned_without_a_local_tag() -> None:
    assert _pins()["torch"] == "2.13.0"
