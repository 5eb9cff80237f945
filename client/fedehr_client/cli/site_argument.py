"""The site folder that a command names."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedehr_shared.errors import DataError

if TYPE_CHECKING:
    from fedehr_shared.meds.folder import SiteFolder


def named_site(folder: Path) -> "SiteFolder":
    """The one site of a folder.

    Raises:
        DataError: there is no such folder, or it holds several sites.
    """
    from fedehr_shared.meds.folder import FEDERATION_FILE, FederationFolder, SiteFolder

    if (folder / FEDERATION_FILE).is_file():
        names = ", ".join(site.name for site in FederationFolder(folder).sites)
        raise DataError(f"{folder} holds several sites: {names}. Name one of its folders.")
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. Import records first.")
    return SiteFolder(folder.absolute())
