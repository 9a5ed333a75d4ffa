"""How Sphinx builds the site: `make docs`, and rosdoc2 on the build farm of ROS (rosdoc2.yaml).

rosdoc2 copies this folder, and the file runs there: where the package is, is asked of Python.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import reference  # noqa: E402

import loftr_ros  # noqa: E402
from loftr_ros.version import package_version  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(loftr_ros.__file__).resolve().parent.parent

project = 'loftr_ros'
author = 'The loftr_ros maintainers'
copyright = f'{author}. License: Apache-2.0'  # noqa: A001 - its name in Sphinx
release = version = package_version()

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_rtd_theme']
exclude_patterns = ['_build', 'README.md']
root_doc = 'index'

html_theme = 'sphinx_rtd_theme'
html_theme_options = {'navigation_depth': 3}
html_static_path: list[str] = []

myst_heading_anchors = 4
default_role = 'code'
python_maximum_signature_line_length = 88

autodoc_default_options = {
    'members': True,
    'member-order': 'bysource',
    'ignore-module-all': True,
}
# In a signature `Matcher` may be one of several; any will do.
suppress_warnings = ['ref.python']
# The build farm installs what rosdep knows, which is not all that the package imports.
autodoc_mock_imports = [name for name in reference.IMPORTS if find_spec(name) is None]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def link_files(app: Sphinx, page: str, source: list[str]) -> None:
    """Lead links that leave this folder, as they work on a code host, to pages or to downloads."""
    if not page.startswith('generated/'):
        source[0] = reference.with_links(source[0], ROOT / 'docs', ROOT, Path(app.srcdir))


def setup(app: Sphinx) -> None:
    """Write the pages that come from the code before Sphinx looks for pages."""
    reference.write_pages(ROOT, Path(app.srcdir), autodoc_mock_imports)
    app.connect('source-read', link_files)
