"""What was handed in, whatever it is: found in a folder, and copied to a place of its own.

Submissions come from strangers, and nothing in one of them may harm the others: no link inside it
is followed, no special file is opened, no archive writes outside its folder, and what is too large
stays behind with a remark.
"""

import shutil
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from npylstm.exercises.words import describe_error, printable

SUFFIXES = (".py", ".ipynb")
MAX_BYTES = 100 << 20
MAX_FILES = 2000
_MAX_DEPTH = 12
_MADE_BY_PROGRAMS = ("__pycache__", "__MACOSX", "node_modules", "site-packages")


@dataclass
class Copy:
    """A submission's own copy.

    Parameters
    ----------
    folder : path
        Where the copy is made.
    files : list of path
        The Python files and notebooks in it, in order.
    remarks : list of str
        What was left out, and why.
    bytes_left, files_left : int
        What else may come in.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    bytes_left: int = MAX_BYTES
    files_left: int = MAX_FILES

    def say(self, name: str, trouble: str) -> None:
        """Add a remark on one of the files."""
        self.remarks.append(f"{printable(name)} {trouble}")

    def admit(self, name: str, size: int) -> bool:
        """Tell whether another file of that size may come in, and count it."""
        if size > self.bytes_left or self.files_left <= 0:
            limit = f"a submission may hold {MAX_BYTES >> 20} MiB and {MAX_FILES} files"
            self.say(name, f"was left out: {limit}")
            return False
        self.bytes_left -= size
        self.files_left -= 1
        return True

    def add(self, place: Path, depth: int) -> None:
        """Take in a file that has been copied: unpack an archive, note down an answer."""
        suffix = place.suffix.lower()
        if suffix in SUFFIXES:
            self.files.append(place)
        elif suffix == ".zip" and depth < _MAX_DEPTH:
            _unpack(self, place, depth + 1)


def find_submissions(folder: Path, outputs: Iterable[Path] = ()) -> list[Path]:
    """List everything in a folder that somebody may have handed in.

    Parameters
    ----------
    folder : path
    outputs : iterable of path
        What the grader itself writes, in case that lies in the folder, too.
    """
    own = {path.resolve() for path in outputs}
    return [path for path in _entries(folder) if folder.resolve() / path.name not in own]


def make_copy(path: Path, folder: Path) -> Copy:
    """Copy a file, a folder or an archive into a new folder, and list the answers in it."""
    copy = Copy(folder)
    folder.mkdir()
    _copy(copy, path, folder, 0, link_allowed=True)  # the teacher's own link, not a student's
    if not (copy.files or copy.remarks):
        if path.is_dir():
            names = ", ".join(printable(inside.name) for inside in _entries(path)[:5])
            copy.say(
                path.name,
                f"holds neither .py files nor notebooks{f', only: {names}' if names else ''}",
            )
        else:
            copy.say(path.name, "is no .py file, notebook or .zip file, and can't be checked")
    copy.files.sort()
    return copy


def _made_by_a_program(name: str) -> bool:
    return name.startswith(".") or name in _MADE_BY_PROGRAMS


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not _made_by_a_program(path.name))


def _copy(copy: Copy, path: Path, target: Path, depth: int, *, link_allowed: bool = False) -> None:
    """Copy one entry of a folder, with all that is in it, into the folder `target`."""
    try:
        mode = path.stat().st_mode if link_allowed else path.lstat().st_mode
        if stat.S_ISLNK(mode):
            copy.say(path.name, "is a symbolic link, which is not followed")
        elif stat.S_ISDIR(mode):
            _copy_folder(copy, path, target / path.name, depth + 1)
        elif not stat.S_ISREG(mode):
            copy.say(path.name, "is not an ordinary file, and was left out")
        elif copy.admit(path.name, path.stat().st_size):
            shutil.copyfile(path, target / path.name)
            copy.add(target / path.name, depth)
    except OSError as error:
        copy.say(path.name, f"can't be read: {error.strerror}")


def _copy_folder(copy: Copy, path: Path, target: Path, depth: int) -> None:
    if depth > _MAX_DEPTH or (path / "pyvenv.cfg").exists():
        copy.say(path.name, "was left out: it lies too deep, or is a virtual environment")
        return
    entries = _entries(path)
    target.mkdir()
    for inside in entries[: copy.files_left + 1]:
        _copy(copy, inside, target, depth)


def _unpack(copy: Copy, path: Path, depth: int) -> None:
    """Unpack a zip file into a folder beside it."""
    target = path.with_name(f"{path.stem} unpacked")
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist()[: copy.files_left + 1]:
                _unpack_entry(copy, archive, entry, target, depth)
    except Exception as error:  # a broken archive fails in many ways
        copy.say(path.name, f"can't be unpacked: {describe_error(error)}")


def _unpack_entry(
    copy: Copy, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, depth: int
) -> None:
    name = entry.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    leads_out = name.startswith("/") or ".." in parts or ":" in name
    if leads_out or stat.S_ISLNK(entry.external_attr >> 16):
        copy.say(name, "leads out of its archive, and was left out")
        return
    if entry.is_dir() or any(map(_made_by_a_program, parts)):
        return
    if not copy.admit(name, entry.file_size):
        return
    place = target.joinpath(*parts)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # zipfile reads no more than the size that the entry declares, which has been admitted
        with archive.open(entry) as packed, place.open("xb") as file:
            shutil.copyfileobj(packed, file)
    except Exception as error:  # one broken entry does not hide the others
        copy.say(name, f"can't be unpacked: {describe_error(error)}")
        return
    copy.add(place, depth)
