"""The IDX reader: what it accepts, what it refuses, and how little memory a hostile file gets."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from draw_mnist_sample import idx_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from npylstm.data import read_idx

# The example in the description of the format: big-endian sizes, the last axis fastest.
TWO_BY_THREE = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 11, 12, 20, 21, 255])


def write(path, content):
    path.write_bytes(content)
    return path


def peak_memory_of_refusing(path, match):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bytes_written_out_by_hand_are_read(tmp_path, pack):
    # The name says nothing about the compression.
    array = read_idx(write(tmp_path / "digits", pack(TWO_BY_THREE)))
    np.testing.assert_array_equal(array, [[10, 11, 12], [20, 21, 255]])
    assert array.dtype == np.uint8


@given(arrays(np.uint8, array_shapes(max_dims=5, max_side=5)), st.booleans())
@settings(deadline=None)
def test_any_array_survives_the_round_trip(tmp_path_factory, array, packed):
    content = idx_bytes(array)
    path = tmp_path_factory.getbasetemp() / "round-trip"
    result = read_idx(write(path, gzip.compress(content) if packed else content))
    np.testing.assert_array_equal(result, array, strict=True)


REFUSED = {
    "empty file": (b"", r"magic number 0x, expected"),
    "half a magic number": (b"\0\0", "magic number 0x0000, expected"),
    "text": (b"<html>403 Forbidden</html>", "magic number 0x3c68746d, expected .*0x00000803"),
    "floats": (b"\0\0\x0d\1" + TWO_BY_THREE, "not an IDX file of unsigned bytes"),
    "no axis": (b"\0\0\x08\0\1", "magic number 0x00000800"),
    "more axes than NumPy": (b"\0\0\x08\xff" + 2000 * b"\0", "magic number 0x000008ff"),
    "truncated shape": (TWO_BY_THREE[:9], "5 bytes of shape, expected 8"),
    "truncated values": (TWO_BY_THREE[:-1], r"\(2, 3\) makes 6 values, but only 5 follow"),
    "no values": (TWO_BY_THREE[:12], "6 values, but only 0 follow"),
    "trailing byte": (TWO_BY_THREE + b"\0", "6 values, but more follow"),
    "empty array": (struct.pack(">BBBB3I", 0, 0, 8, 3, 0, 28, 28), "makes 0 values, expected 1"),
    "gzip cut short": (gzip.compress(TWO_BY_THREE)[:-9], "ended before"),
    "gzip header alone": (gzip.compress(TWO_BY_THREE)[:2], "ended before|not a gzip"),
    "gzip with a wrong checksum": (gzip.compress(TWO_BY_THREE)[:-8] + 8 * b"\1", "CRC"),
    "gzip with broken blocks": (gzip.compress(TWO_BY_THREE)[:10] + 20 * b"\xff", "invalid"),
    "gzip with a tail": (gzip.compress(TWO_BY_THREE) + b"tail", "Not a gzipped file"),
}


@pytest.mark.parametrize(("content", "match"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_not_sound_is_refused_by_name(tmp_path, content, match):
    path = write(tmp_path / "digits", content)
    with pytest.raises(ValueError, match=match) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_a_missing_file_or_a_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="digits"):
        read_idx(tmp_path / "digits")
    with pytest.raises(OSError, match=tmp_path.name):
        read_idx(tmp_path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_promises_four_billion_images_takes_no_memory(tmp_path, pack):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 28, 28)
    path = write(tmp_path / "digits", pack(header + bytes(784)))
    assert peak_memory_of_refusing(path, "makes 3367254359280 values, expected 1 to") < 1e6


def test_a_promise_within_the_limit_takes_no_more_memory_than_the_file(tmp_path):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 10**6, 28, 28)
    path = write(tmp_path / "digits", header + bytes(784))
    assert peak_memory_of_refusing(path, "784000000 values, but only 784 follow") < 1e6


def test_a_decompression_bomb_is_stopped(tmp_path):
    path = write(tmp_path / "digits", gzip.compress(TWO_BY_THREE + bytes(10**8)))
    assert peak_memory_of_refusing(path, "6 values, but more follow") < 1e6


def test_max_bytes_is_what_decides(tmp_path):
    path = write(tmp_path / "digits", TWO_BY_THREE)
    assert read_idx(path, max_bytes=6).size == 6
    with pytest.raises(ValueError, match="6 values, expected 1 to 5"):
        read_idx(path, max_bytes=5)


@st.composite
def damaged_files(draw):
    """Sound IDX files, plain or packed, with some bytes changed, dropped or added."""
    shape = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    size = draw(st.integers(0, 20))
    content = idx_bytes(np.zeros(shape, np.uint8))[: 4 + 4 * len(shape)] + bytes(size)
    content = bytearray(gzip.compress(content, mtime=0) if draw(st.booleans()) else content)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        content[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content)


def read_or_refuse(path, content):
    try:
        array = read_idx(write(path, content), max_bytes=1000)
    except ValueError as error:
        message = str(error)
        assert str(path) in message
    else:
        assert array.dtype == np.uint8
        assert 1 <= array.size <= 1000


@given(st.binary(max_size=64) | damaged_files())
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused_with_a_value_error(tmp_path_factory, content):
    read_or_refuse(tmp_path_factory.getbasetemp() / "fuzz", content)


@pytest.mark.slow
@given(st.binary(max_size=64) | damaged_files())
@settings(
    max_examples=100_000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
def test_a_hundred_thousand_byte_strings_are_read_or_refused(tmp_path_factory, content):
    read_or_refuse(tmp_path_factory.getbasetemp() / "fuzz", content)
