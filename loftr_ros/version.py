"""The version of the package, which package.xml declares.

It stands in a module of its own, because the message generator may install an empty
loftr_ros/__init__.py over ours: nothing depends on what stands there.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree as ET

PACKAGE = 'loftr_ros'


def package_version() -> str:
    """Return the version: of package.xml in a checkout, else as it was installed.

    Raises:
        importlib.metadata.PackageNotFoundError: This is no checkout, and nothing was installed.
    """
    description = Path(__file__).resolve().parents[1] / 'package.xml'
    if description.is_file():
        return ET.parse(description).findtext('version', '')  # nosec B314
    return metadata.version(PACKAGE)
