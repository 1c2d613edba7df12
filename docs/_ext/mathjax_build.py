"""Put MathJax's single-file SVG build into the site, so that formulas need no network.

It comes from MathJax's npm package when the site is built, and is kept in `docs/_build`. Without
npm the pages load it from MathJax's usual address, and the build warns.
"""

import shutil
import subprocess
import tarfile
from pathlib import Path

from sphinx.util import logging

VERSION = "3.2.2"
FILE = "tex-svg-full.js"
ADDRESS = f"https://cdn.jsdelivr.net/npm/mathjax@{VERSION}/es5/{FILE}"
FOLDER = Path(__file__).parents[1] / "_build" / f"mathjax-{VERSION}"

logger = logging.getLogger(__name__)


def fetch() -> str:
    """Return what `mathjax_path` should be: the file's name in the site, or MathJax's address."""
    if not (FOLDER / FILE).exists():
        try:
            _unpack_from_npm()
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning(
                "MathJax could not be fetched from npm (%s): readers need a network for formulas. "
                "To build all the same, leave -W out.",
                error,
                type="mathjax",
            )
            return ADDRESS
    return FILE


def _unpack_from_npm() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--silent", f"mathjax@{VERSION}"]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, timeout=120)
    with tarfile.open(FOLDER / f"mathjax-{VERSION}.tgz") as package:
        content = package.extractfile(f"package/es5/{FILE}").read()
    (FOLDER / f"mathjax-{VERSION}.tgz").unlink()
    (FOLDER / FILE).write_bytes(content)
