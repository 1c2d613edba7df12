#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""One command a task: `nox -s tests`, `nox -s lint`, `nox -s docs`, `nox -s build`."""

import json
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"


@nox.session(default=True)
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    session.install("-e", ".[tests]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(default=True)
def tests(session: nox.Session) -> None:
    """Run the tests; what follows `--` goes to pytest."""
    session.install("-e", ".[tests,notebooks]")
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the website into docs/_build/html."""
    session.install("-e", ".[docs,notebooks]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the wheel and the source archive into dist/."""
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Build the course as a website that runs in the browser: `nox -s browser -- FOLDER`.

    FOLDER holds Pyodide's full distribution: pyodide.mjs, pyodide-lock.json and the wheels of
    NumPy, Matplotlib and tqdm. The website stands in `docs/_build/browser` afterwards and needs
    nothing from elsewhere.
    """
    if len(session.posargs) != 1 or not Path(session.posargs[0], "pyodide-lock.json").is_file():
        session.error("nox -s browser -- FOLDER, where FOLDER holds pyodide-lock.json")
    session.install("build", "jupyterlite-core", "jupyterlite-pyodide-kernel", "jupyter-server")
    site, work = Path("docs/_build/browser").absolute(), Path(session.create_tmp()).absolute()
    for name in ("wheel", "static", "notebooks"):
        shutil.rmtree(work / name, ignore_errors=True)
    shutil.copytree(session.posargs[0], work / "static" / "pyodide")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(work / "wheel"))
    helpers = ("platformdirs", "threadpoolctl", "tqdm")  # pure Python, in case FOLDER lacks them
    session.run("pip", "download", "--no-deps", "--dest", str(work / "wheel"), *helpers)
    for path in Path("notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text("utf-8"))
        install = {"cell_type": "code", "id": "install", "metadata": {}, "outputs": []}
        install |= {"execution_count": None, "source": ["%pip install npylstm"]}
        notebook["cells"].insert(0, install)
        (work / "notebooks").mkdir(exist_ok=True)
        (work / "notebooks" / path.name).write_text(json.dumps(notebook, indent=1), "utf-8")
    wheels = [f"--piplite-wheels={wheel}" for wheel in (work / "wheel").iterdir()]
    arguments = ["--contents=notebooks", *wheels, f"--output-dir={site}"]
    with session.chdir(work):
        session.run("jupyter", "lite", "build", *arguments)


if __name__ == "__main__":
    nox.main()
