"""Recipes: the study files that come with fedehr."""

from pathlib import Path

from fedehr_shared.errors import ConfigError

_IN_WHEEL = Path(__file__).parent / "recipes"
_IN_REPOSITORY = Path(__file__).parents[1] / "recipes"


def recipe_file(name: str) -> Path:
    """The study file of a recipe: package data of a wheel, or `simulations/recipes`.

    Raises:
        ConfigError: there is no such recipe.
    """
    for folder in (_IN_WHEEL, _IN_REPOSITORY):
        file = folder / f"{name}.toml"
        if file.is_file():
            return file
    raise ConfigError(f"the installation lacks the recipe {name}.toml. Install fedehr again.")
