"""What the metadata of the package say of the repository: its addresses, and a README whose links lead there."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE_LINK = re.compile(r"(!?)(\[[^\]]*\]\()(?![a-z]+:|#)")


class RepositoryHook(MetadataHookInterface):
    """Fills in `urls` and `readme`; without an address the README stays as it is, and no URL is claimed."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add what follows from the address of the repository and the version, whose tag is the version after a v."""
        home, tag = self.config["repository"], f"v{metadata['version']}"
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, home, tag) if home else text,
        }
        metadata["urls"] = urls(home, tag) if home else {}


def with_absolute_links(text: str, home: str, tag: str) -> str:
    """Let relative links lead to the files of a tag, and images to their bytes, as on GitHub and GitLab."""
    folders = {"": f"{home}/blob/{tag}/", "!": f"{home}/raw/{tag}/"}
    return _RELATIVE_LINK.sub(lambda link: link[0] + folders[link[1]], text)


def urls(home: str, tag: str) -> dict[str, str]:
    """Return the addresses that package indexes show, by the names they know."""
    return {
        "Homepage": home,
        "Documentation": f"{home}/blob/{tag}/docs/index.md",
        "Changelog": f"{home}/blob/{tag}/CHANGELOG.md",
        "Source": home,
        "Issues": f"{home}/issues",
    }
