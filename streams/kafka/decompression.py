"""Decompression with a limit: a record batch of a few kilobytes can expand to gigabytes and end the process."""

import gzip
import io
import mmap
from typing import Any

from aiokafka.codec import cramjam  # the library that aiokafka decompresses with
from aiokafka.codec import gzip_decode as whole_gzip
from aiokafka.codec import lz4_decode as whole_lz4
from aiokafka.codec import snappy_decode as whole_snappy
from aiokafka.codec import zstd_decode as whole_zstd
from aiokafka.errors import CorruptRecordException

LARGEST = 128 << 20  # bytes of a batch; brokers accept batches of a few MiB, compressed
GZIP, LZ4, ZSTD = 1_032, 255, 32_768  # the largest expansion of a byte


def _too_large() -> CorruptRecordException:
    return CorruptRecordException(f"uncompressed, it is larger than {LARGEST >> 20} MiB")


def gzip_decode(data: Any) -> bytes:
    """Return the decompressed bytes; raise `CorruptRecordException` if they are more than `LARGEST`."""
    if len(data) * GZIP <= LARGEST:
        return bytes(whole_gzip(data))
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = file.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise _too_large()
    return found


def lz4_decode(data: bytes) -> bytes:
    """Return the decompressed bytes; raise `CorruptRecordException` if they are more than `LARGEST`."""
    return bytes(whole_lz4(data)) if len(data) * LZ4 <= LARGEST else _limited(cramjam.lz4, data)


def zstd_decode(data: bytes) -> bytes:
    """Return the decompressed bytes; raise `CorruptRecordException` if they are more than `LARGEST`."""
    return bytes(whole_zstd(data)) if len(data) * ZSTD <= LARGEST else _limited(cramjam.zstd, data)


def snappy_decode(data: bytes) -> bytes:
    """Return the decompressed bytes, which are at most about twenty times as many."""
    return bytes(whole_snappy(data))


def _limited(codec: Any, data: bytes) -> bytes:
    with mmap.mmap(-1, LARGEST) as room:  # the kernel hands out only the pages that are written to
        try:
            size = codec.decompress_into(data, room)
        except cramjam.DecompressionError as error:
            raise (_too_large() if "whole buffer" in str(error) else error) from None
        return room[:size]
