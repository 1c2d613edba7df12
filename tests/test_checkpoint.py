import errno
import hashlib
import json
import os
import pickle
import random
import signal
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from npylstm.files import write_atomically
from npylstm.models import checkpoint
from npylstm.models.checkpoint import load, save

OLD = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
NEW = {"w": np.full((2, 3), 7, np.float32)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for all examples of a property."""
    return tmp_path_factory.mktemp("checkpoint") / "model.npz"


def sign(entries, compression=zipfile.ZIP_STORED, version=1, claimed_size=None):
    """An archive that is no checkpoint but has the ending and the digest of one."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
        if claimed_size is not None:
            archive.filelist[-1].file_size = claimed_size
        archive.comment = f"npylstm checkpoint {version} SHA-256 {'0' * 64}".encode()
    return resign(buffer.getvalue())


def sign_nested(payload, depth):
    """Entries one inside the other, so that the same bytes are listed `depth` times."""
    content, infos = payload, []
    for level in range(depth):
        info = zipfile.ZipInfo(f"{level}.npy")
        info.CRC, info.file_size, info.compress_size = zlib.crc32(content), *[len(content)] * 2
        content = info.FileHeader() + content
        infos.append((info, len(content)))
    for info, distance_to_end in infos:
        info.header_offset = len(content) - distance_to_end
    buffer = BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.filelist += [info for info, _ in infos]
        archive.writestr("meta.json", "{}")
        archive.comment = f"npylstm checkpoint 1 SHA-256 {'0' * 64}".encode()
    return resign(buffer.getvalue())


def resign(content):
    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def npy_of(array, **options):
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def npy_header(shape, dtype="<f8"):
    buffer = BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def assert_same(loaded, saved):
    assert loaded.keys() == saved.keys()
    for name, array in saved.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        assert loaded[name].tobytes() == array.tobytes()


# What is saved comes back.


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), max_size=20),
        numpy_st.arrays(
            st.one_of(
                numpy_st.boolean_dtypes(),
                numpy_st.integer_dtypes(endianness="?"),
                numpy_st.unsigned_integer_dtypes(endianness="?"),
                numpy_st.floating_dtypes(endianness="?"),
                numpy_st.complex_number_dtypes(endianness="?"),
                numpy_st.datetime64_dtypes(),
                numpy_st.unicode_string_dtypes(min_len=1),
            ),
            numpy_st.array_shapes(min_dims=0, min_side=0, max_side=4),
        ),
        max_size=4,
    ),
    st.sampled_from("CF"),
)
def test_every_array_comes_back_with_its_dtype_and_every_bit(scratch, arrays, order):
    arrays = {name: np.array(array, order=order) for name, array in arrays.items()}
    save(scratch, arrays, {})
    loaded, _ = load(scratch)
    assert_same(loaded, arrays)
    for name, array in arrays.items():
        # The layout decides how BLAS rounds, and so whether a resumed run keeps to the digit.
        assert loaded[name].flags.c_contiguous == array.flags.c_contiguous
        assert loaded[name].flags.f_contiguous == array.flags.f_contiguous
        assert loaded[name].flags.writeable
        assert loaded[name].flags.aligned


def test_special_values_keep_their_bits(path):
    bits = np.array([0x7FF8000000000001, 0xFFF0000000000000, 0x8000000000000000, 1], np.uint64)
    save(path, {"w": bits.view(np.float64)}, {})
    np.testing.assert_array_equal(load(path)[0]["w"].view(np.uint64), bits)


def test_an_array_that_is_not_contiguous_or_is_read_only_comes_back(path):
    w = np.arange(24.0).reshape(4, 6)[::2, ::-3]
    w.setflags(write=False)
    save(path, {"w": w}, {})
    assert_same(load(path)[0], {"w": w})


def test_an_array_on_a_device_is_moved_to_the_host(path):
    class DeviceArray:
        def get(self):
            return np.arange(3.0)

    save(path, {"w": DeviceArray()}, {})
    assert_same(load(path)[0], {"w": np.arange(3.0)})


def test_meta_data_comes_back_and_a_generator_goes_on_where_it_was(path):
    rng = np.random.default_rng(5)
    rng.standard_normal(7)
    meta = {"rng": rng.bit_generator.state, "loss": [0.1, 1e-300, float("inf")], "ü": None}
    save(path, {}, meta)
    _, loaded = load(path)
    assert loaded == meta
    again = np.random.default_rng()
    again.bit_generator.state = loaded["rng"]
    np.testing.assert_array_equal(again.standard_normal(5), rng.standard_normal(5))


def test_numpy_alone_reads_a_checkpoint(path):
    save(path, {"params/W_x": OLD["w"]}, {"epoch": 3})
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["params/W_x"], OLD["w"])
        assert json.loads(archive["meta.json"]) == {"epoch": 3}


def test_the_same_data_give_the_same_file(path):
    save(path, OLD, {"epoch": 3})
    first = path.read_bytes()
    save(path, OLD, {"epoch": 3})
    assert path.read_bytes() == first


# What cannot be saved.


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}]),
        np.zeros(2, [("a", "f4")]),
        *([np.array(["a"], np.dtypes.StringDType())] if hasattr(np.dtypes, "StringDType") else []),
    ],
)
def test_arrays_that_need_pickle_are_refused_by_name(path, array):
    with pytest.raises(ValueError, match="history must hold numbers"):
        save(path, {"history": array}, {})
    assert not path.exists()


@pytest.mark.parametrize("name", ["a\0b", "a\\b", "a\nb", "\ud800"])
def test_names_that_an_archive_would_change_are_refused(path, name):
    with pytest.raises(ValueError, match="name of an array must be printable"):
        save(path, {name: OLD["w"]}, {})


@pytest.mark.parametrize("value", [np.arange(3), np.float32(1), {1, 2}, object()])
def test_meta_data_that_json_cannot_hold_are_refused(path, value):
    with pytest.raises(TypeError, match="meta must be JSON data"):
        save(path, {}, {"key": value})


def test_meta_data_that_contain_themselves_are_refused(path):
    meta = {}
    meta["meta"] = meta
    with pytest.raises(TypeError, match="meta must be JSON data"):
        save(path, {}, meta)


# A file that is not a whole checkpoint is refused.


def assert_refused(path, content, message=None):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as refused:
        load(path)
    assert str(path) in str(refused.value)


class Exploit:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def npz(save_function, **arrays):
    buffer = BytesIO()
    save_function(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"epoch,loss\n1,0.5\n",
        pickle.dumps(Exploit()),
        npy_of(np.arange(3.0)),
        npy_of(np.array([Exploit()]), allow_pickle=True),
        npz(np.savez, w=np.arange(3.0)),
        npz(np.savez_compressed, w=np.arange(3.0)),
        b"npylstm checkpoint 1 SHA-256 ",
    ],
)
def test_foreign_files_are_refused(path, content):
    assert_refused(path, content, "is not an npylstm checkpoint")


def test_another_version_is_refused_and_both_versions_named(path):
    content = sign({"meta.json": "{}"}, version=2)
    assert_refused(path, content, "version 2, and this npylstm reads 1")


def test_a_file_that_is_missing_or_a_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load(tmp_path / "none.npz")
    with pytest.raises(OSError, match=tmp_path.name):
        load(tmp_path)


def test_every_truncation_is_refused(path):
    save(path, OLD, {"epoch": 3})
    content = path.read_bytes()
    for size in range(len(content)):
        assert_refused(path, content[:size], "cut short")


def test_every_flipped_bit_is_refused(path):
    save(path, OLD, {"epoch": 3})
    content = bytearray(path.read_bytes())
    for position in range(len(content)):
        bit = 1 << position % 8
        content[position] ^= bit
        assert_refused(path, content)
        content[position] ^= bit


def test_damage_in_the_data_is_called_damage(path):
    save(path, OLD, {})
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    assert_refused(path, content, "damaged: its checksum")


def damage(content, rng):
    """Flip bits, overwrite, cut out, insert or repeat bytes."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content))
        stop = min(start + rng.choice([1, 2, 8, 50]), len(content))
        kind = rng.randrange(5)
        if kind == 0:
            content[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[start:stop] = rng.randbytes(stop - start)
        elif kind == 2 and len(content) > 200:
            del content[start:stop]
        elif kind == 3:
            content[start:start] = rng.randbytes(stop - start)
        else:
            content[start:start] = content[start:stop]
    return bytes(content)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=500))
def test_bytes_of_any_kind_are_refused(scratch, content):
    assert_refused(scratch, content)


@pytest.mark.parametrize("layer", ["file", "archive", "entries"])
@pytest.mark.parametrize(
    "repeats", [300, pytest.param(50_000, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_damage_of_any_kind_raises_nothing_but_value_error(path, layer, repeats):
    rng = random.Random(1)
    entries = {"meta.json": b'{"epoch": 3}', "params/W.npy": npy_of(OLD["w"])}
    content = sign(entries)
    for _ in range(repeats):
        if layer == "entries":  # each keeps its place in a sound archive
            bad = sign({name: damage(entry, rng) for name, entry in entries.items()})
        else:
            bad = damage(content, rng)
        if layer == "file" and bad != content:
            assert_refused(path, bad)
            continue
        path.write_bytes(resign(bad))
        try:
            load(path)  # with the digest made right again, a harmless change may pass
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017


# A file made to fool the loader, digest and all.


def with_meta(npy, **options):
    return sign({"meta.json": "{}", "w.npy": npy}, **options)


TRAPS = {
    "deflated bomb": with_meta(npy_of(np.zeros(1_000_000)), compression=zipfile.ZIP_DEFLATED),
    "bzip2 bomb of false size": with_meta(
        npy_of(np.zeros(1_000_000)), compression=zipfile.ZIP_BZIP2, claimed_size=100
    ),
    "nested entries": sign_nested(bytes(50_000), depth=300),
    "shape beyond the file": with_meta(npy_header((10**12,))),
    "shape beyond the address space": with_meta(npy_header((2**62, 2**62))),
    "negative shape": with_meta(npy_header((-2, -4)) + bytes(64)),
    "one byte missing": with_meta(npy_header((2, 3)) + bytes(47)),
    "one byte too many": with_meta(npy_header((2, 3)) + bytes(49)),
    "object dtype": with_meta(npy_header((1,), "|O") + bytes(8)),
    "pickled objects": with_meta(npy_of(np.array([Exploit()]), allow_pickle=True)),
    "bare pickle": with_meta(pickle.dumps(Exploit())),
    "header without an end": with_meta(b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535),
    "nested meta data": sign({"meta.json": "[" * 100_000}),
    "half meta data": sign({"meta.json": "{"}),
    "meta data that are no text": sign({"meta.json": b"\xff"}),
    "no meta data": sign({"w.npy": npy_of(np.zeros(3))}),
    "another entry": sign({"meta.json": "{}", "notes.txt": "hello"}),
}


@pytest.mark.parametrize("content", TRAPS.values(), ids=TRAPS)
def test_a_signed_trap_is_refused_within_a_few_times_its_size(path, content):
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is not a valid checkpoint"):
            load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(content) + 2_000_000


def test_loading_takes_memory_of_a_few_times_the_file(path):
    save(path, {"w": np.zeros(1_000_000)}, {})
    tracemalloc.start()
    try:
        load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * path.stat().st_size


def test_a_huge_foreign_file_is_refused_unread(path):
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: one terabyte that takes no space
    with pytest.raises(ValueError, match="is not an npylstm checkpoint"):
        load(path)


# A save that fails, or is killed, leaves what was there.


def assert_old_is_whole(path):
    assert_same(load(path)[0], OLD)
    assert list(path.parent.iterdir()) == [path], "nothing is left behind"


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_at_any_step_keeps_the_old_file(path, monkeypatch, step, error):
    def fail(*_):
        raise error

    save(path, OLD, {})
    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(type(error)) as failed:
            save(path, NEW, {})
    if isinstance(error, OSError):
        assert failed.value.filename == str(path)
        assert "No space left" in str(failed.value)
    assert_old_is_whole(path)


def test_a_disk_that_is_full_keeps_the_old_file(path):
    resource = pytest.importorskip("resource")
    save(path, OLD, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        with pytest.raises(OSError, match="cannot write the file") as failed:
            save(path, {"w": np.zeros(1_000_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed.value.filename == str(path)
    assert_old_is_whole(path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that refuses all files")
def test_a_folder_that_takes_no_files_is_an_os_error_that_names_the_file():
    with pytest.raises(OSError, match=r"cannot write the file: .*model\.npz"):
        save("/proc/self/model.npz", NEW, {})


def test_a_read_only_folder_keeps_the_old_file(path):
    save(path, OLD, {})
    path.parent.chmod(0o500)
    try:
        if os.access(path.parent, os.W_OK):
            pytest.skip("this user may write to read-only folders")
        with pytest.raises(PermissionError, match=r"model\.npz"):
            save(path, NEW, {})
    finally:
        path.parent.chmod(0o700)
    assert_old_is_whole(path)


def test_a_folder_that_is_missing_or_a_file_is_an_os_error_that_names_the_path(tmp_path):
    with pytest.raises(FileNotFoundError) as failed:
        save(tmp_path / "none" / "model.npz", NEW, {})
    assert failed.value.filename == str(tmp_path / "none" / "model.npz")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError):
        save(tmp_path / "file" / "model.npz", NEW, {})
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_in_the_place_of_the_file_stays(tmp_path):
    (tmp_path / "model.npz").mkdir()
    with pytest.raises(OSError, match="cannot write the file"):
        save(tmp_path / "model.npz", NEW, {})
    assert list(tmp_path.iterdir()) == [tmp_path / "model.npz"]


def test_a_link_to_a_checkpoint_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "model.npz", tmp_path / "last.npz"
    save(target, OLD, {})
    link.symlink_to(target)
    save(link, NEW, {})
    assert link.is_symlink()
    assert_same(load(target)[0], NEW)


def test_content_is_on_the_disk_before_the_new_name_is(path, monkeypatch):
    calls = []

    def fsync(descriptor):
        status = os.fstat(descriptor)
        calls.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)

    def replace(source, target, replace=os.replace):
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    save(path, NEW, {})
    assert calls == [path.stat().st_size, "replace", "folder"]


def test_a_file_system_that_cannot_sync_a_folder_still_saves(path, monkeypatch):
    fsync = os.fsync

    def fsync_of_files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_of_files_only)
    save(path, NEW, {})
    assert_same(load(path)[0], NEW)


def test_the_file_has_the_usual_permissions(path, tmp_path):
    save(path, NEW, {})
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_write_atomically_writes_other_files_as_well(tmp_path):
    write_atomically(tmp_path / "config.json", b"{}")
    write_atomically(str(tmp_path / "config.json"), b"{1}")
    assert (tmp_path / "config.json").read_bytes() == b"{1}"


def test_two_savers_at_once_leave_one_whole_file(path):
    def saver(value):
        for _ in range(50):
            save(path, {"w": np.full(10_000, value)}, {"value": value})

    threads = [threading.Thread(target=saver, args=(value,)) for value in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            arrays, meta = load(path)
            assert (arrays["w"] == meta["value"]).all()
    assert list(path.parent.iterdir()) == [path]


SAVE_FOREVER = """
import sys, numpy as np
from npylstm.models.checkpoint import save
count = 0
while True:
    count += 1
    save(sys.argv[1], {"w": np.full(100_000, float(count))}, {"count": count})
    print(count, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize(
    "kills", [5, pytest.param(100, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_kill_9_at_a_random_moment_leaves_the_last_file_whole(path, kills):
    rng = random.Random(2)
    for _ in range(kills):
        command = [sys.executable, "-c", SAVE_FOREVER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            finished = process.stdout.read().split()
        arrays, meta = load(path)
        assert (arrays["w"] == meta["count"]).all()
        last = int(finished[-1]) if finished else 1
        assert meta["count"] in (last, last + 1), "the last file that was reported, or the next"


def test_the_format_number_is_the_one_these_tests_know():
    assert checkpoint.VERSION == 1


@pytest.mark.parametrize("meta", [None, 3, [], "text"])
def test_meta_data_that_are_no_object_are_refused(tmp_path, meta):
    checkpoint.save(tmp_path / "a.npz", {}, meta)
    with pytest.raises(ValueError, match=r"a\.npz is not a valid checkpoint: its meta data are no"):
        checkpoint.load(tmp_path / "a.npz")
