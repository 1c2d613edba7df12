"""Download the full MNIST set into the user's cache.

The files come from the first public mirror that delivers them. No mirror is trusted: a file is
accepted by the SHA-256 of its bytes after decompression, which every faithful copy of MNIST shares.
"""

import hashlib
import os
import threading
import urllib.request
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from http.client import HTTPException
from io import BufferedIOBase, BytesIO
from pathlib import Path
from urllib.error import HTTPError

from tqdm import tqdm

from npylstm.checks import check_number
from npylstm.data.idx import BROKEN, decompressed, read_at_most
from npylstm.files import cache_folder, write_atomically

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",  # PyTorch's
    "https://storage.googleapis.com/cvdf-datasets/mnist",  # Common Visual Data Foundation's
    "https://raw.githubusercontent.com/fgnt/mnist/master",
)
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MAX_BYTES = 1 << 26  # beyond the largest file (47,040,016 bytes unpacked); the rest is not read


def fetch_mnist(
    cache: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] = MIRRORS,
    timeout: float = 30.0,
    total_timeout: float = 600.0,
) -> Path:
    """Download the four files of MNIST, unless sound copies are in the cache already.

    A file appears in the cache whole and checked, or not at all; two processes may fetch at once.

    Parameters
    ----------
    cache : path, optional
        The cache of this package; MNIST goes to its subfolder `mnist`. None means
        `$NPYLSTM_CACHE`, or else the system's usual place: `~/.cache/npylstm` on Linux.
    mirrors : sequence of str
        Addresses of folders with the four files, tried in this order.
    timeout : float
        Seconds without an answer before the next mirror is tried.
    total_timeout : float
        Seconds before the next mirror is tried, even if this one still answers.

    Returns
    -------
    the folder with the files, fit for `load_mnist`

    Raises
    ------
    ValueError
        No mirrors, or a timeout that is not positive.
    ConnectionError
        No mirror delivered a file; the message says what happened at each.
    OSError
        The cache can't be written.

    Warns
    -----
    UserWarning
        A file in the cache is damaged; it is downloaded anew.
    """
    if isinstance(mirrors, str) or not mirrors:
        raise ValueError(f"mirrors must be a non-empty list of addresses, got {mirrors!r}")
    for name, seconds in (("timeout", timeout), ("total_timeout", total_timeout)):
        check_number(name, seconds, 0, 1e6, open_low=True)
    folder = (cache_folder() if cache is None else Path(cache)) / "mnist"
    folder.mkdir(parents=True, exist_ok=True)
    queue = deque(mirrors)
    for name in SHA256:
        path = folder / f"{name}.gz"
        if not path.exists() or not _is_sound(path):
            write_atomically(path, _download(name, queue, timeout, total_timeout))
    return folder


def _is_sound(path: Path) -> bool:
    """Return whether the cached file is the published one; warn if it is damaged."""
    with path.open("rb") as file:
        try:
            _verify(file, path.stem)
        except BROKEN as error:
            warnings.warn(f"{path} is damaged ({error}); downloading it anew", stacklevel=3)
            return False
    return True


def _verify(file: BufferedIOBase, name: str) -> None:
    """Raise ValueError unless `file` unpacks to the published bytes."""
    digest = hashlib.sha256(read_at_most(decompressed(file), MAX_BYTES)).hexdigest()
    if digest != SHA256[name]:
        raise ValueError(f"SHA-256 of the decompressed bytes is {digest}, expected {SHA256[name]}")


def _download(name: str, mirrors: deque[str], timeout: float, total_timeout: float) -> bytearray:
    """Return the file from the first mirror whose copy is the published one.

    A mirror that fails moves to the back, so that it does not delay the next file again.
    """
    failures = []
    for mirror in list(mirrors):
        url = f"{mirror.rstrip('/')}/{name}.gz"
        try:
            packed = _within(total_timeout, partial(_get, url, timeout))
            _verify(BytesIO(packed), name)
            return packed
        except (OSError, HTTPException, *BROKEN) as error:
            failures.append(f"\n  {url}: {type(error).__name__}: {error}")
            mirrors.rotate(-1)
            if isinstance(error, HTTPError):
                error.close()  # the error is also the response, which holds the connection
    raise ConnectionError(f"no mirror delivered {name}:{''.join(failures)}")


def _within(seconds: float, work: Callable[[], bytearray]) -> bytearray:
    """Return work(), or raise TimeoutError after some seconds; work that still runs is left alone.

    A limit for each read doesn't stop a server that sends a byte now and then, in a header or in
    the file, and it doesn't stop an endless search for an address.
    """
    done: Future[bytearray] = Future()
    threading.Thread(target=_settle, args=(done, work), daemon=True).start()
    wait([done], seconds)
    if not done.done():
        raise TimeoutError(f"not complete after {seconds:g} seconds")
    try:
        return done.result()
    finally:
        del done  # or the error and its future would keep each other, and a connection, alive


def _settle(done: Future[bytearray], work: Callable[[], bytearray]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)
    finally:
        del done


def _get(url: str, timeout: float) -> bytearray:
    file_name = url.rpartition("/")[-1]
    request = urllib.request.Request(url, headers={"User-Agent": "npylstm"})
    with (
        _opener().open(request, timeout=timeout) as response,
        tqdm.wrapattr(response, "read", total=response.length, desc=file_name) as body,
    ):
        return read_at_most(body, MAX_BYTES)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https alone, also when a mirror redirects."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
