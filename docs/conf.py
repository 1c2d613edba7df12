"""How Sphinx builds the documentation: `python -m sphinx -W -b html docs docs/_build/html`."""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]
# The notebooks run in processes of their own, which import the package from the working tree.
os.environ["PYTHONPATH"] = os.pathsep.join([str(DOCS.parent), os.environ.get("PYTHONPATH", "")])

import explain_page  # noqa: E402
import mathjax_build  # noqa: E402

import npylstm  # noqa: E402

project = "npylstm"
version = release = npylstm.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "check_site",
    "code_lines",
    "docstrings",
    "results",
]
exclude_patterns = ["_build", "_ext", "results", "**.ipynb_checkpoints"]

html_theme = "furo"
html_title = "npylstm"
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False

html_extra_path = [explain_page.make()]

mathjax_path = mathjax_build.fetch()
html_static_path = ["_static"]
if "//" not in mathjax_path:
    html_static_path.append(str(mathjax_build.FOLDER))
html_css_files = ["site.css"]

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "executed")
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_output_stderr = "error"
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
viewcode_follow_imported_members = False
suppress_warnings = ["ref.python"]  # of several things with the name in a docstring any will do
