"""The course: the notebooks that come with the package, copied to where a student can run them."""

import importlib.metadata
import os
import shutil
from pathlib import Path


def notebooks() -> list[Path]:
    """Return the course's notebooks, in their order, wherever this installation has them.

    Raises
    ------
    FileNotFoundError
        The package was copied without them.
    """
    try:
        installed = importlib.metadata.files("npylstm") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        installed = []
    found = [Path(str(file.locate())).resolve() for file in installed if file.suffix == ".ipynb"]
    if not found:
        found = list((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
    if not found:
        raise FileNotFoundError("this installation of npylstm has no notebooks; reinstall it")
    return sorted(found, key=lambda path: path.name)


def start_course(folder: str | os.PathLike[str]) -> list[Path]:
    """Copy the course's notebooks into a folder; make the folder if it does not exist.

    Parameters
    ----------
    folder : path
        Where to put them.

    Returns
    -------
    list of Path
        The copies.

    Raises
    ------
    FileExistsError
        The folder has a notebook of that name already; nothing has been copied.
    OSError
        The folder cannot be made or written to, or there are no notebooks to copy.
    """
    sources = notebooks()
    copies = [Path(folder) / source.name for source in sources]
    for copy in copies:
        if copy.exists():
            raise FileExistsError(f"folder: {copy} exists already, and nothing is overwritten")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for source, copy in zip(sources, copies, strict=True):
        shutil.copyfile(source, copy)
    return copies
