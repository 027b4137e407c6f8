"""Read the headers of classic NetCDF files, to know how long a file must be."""

from __future__ import annotations

import math
import os
import struct
from typing import IO

_COUNTS_AND_OFFSETS = {
    b"CDF\1": (">i", ">i"),
    b"CDF\2": (">i", ">q"),
    b"CDF\5": (">q", ">q"),
}
"""Formats of counts and of offsets in classic NetCDF by its first bytes."""


def netcdf_bytes_needed(stream: IO[bytes]) -> int:
    """Return the bytes that a classic NetCDF file needs; 0 for HDF5, which GDAL reads strictly."""
    formats = _COUNTS_AND_OFFSETS.get(stream.read(4))
    if formats is None:
        return 0
    count, offset = map(struct.Struct, formats)
    return _NetcdfHeader(stream, count, offset).bytes_needed()


_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of a value of classic NetCDF by its type."""


class _NetcdfHeader:
    """The header of a classic NetCDF file, behind its first four bytes."""

    def __init__(
        self, stream: IO[bytes], count: struct.Struct, offset: struct.Struct
    ) -> None:
        self._stream = stream
        self._count = count
        self._offset = offset

    def bytes_needed(self) -> int:
        """Return where the last variable, or the last record, ends."""
        record_count = max(self._read_number(), 0)  # -1: not stated
        lengths = [
            self._read_dimension_length() for _ in range(self._read_list_length())
        ]
        self._skip_attributes()
        end = 0
        record_size = 0
        first_record = 0
        for _ in range(self._read_list_length()):
            self._skip_name()
            shape = [lengths[self._read_number()] for _ in range(self._read_number())]
            self._skip_attributes()
            value_size = _VALUE_BYTES[self._read_type()]
            self._read_number()  # the variable's size, which is not reliable
            (begin,) = self._offset.unpack(self._stream.read(self._offset.size))
            if shape[:1] == [0]:  # it grows with the records
                size = value_size * math.prod(shape[1:])
                record_size += -(-size // 4) * 4
                first_record = min(first_record, begin) if first_record else begin
            else:
                end = max(end, begin + value_size * math.prod(shape))
        if record_count and record_size:
            # the last record need not be filled up to four bytes
            end = max(end, first_record + record_count * record_size - 3)
        return end

    def _read_number(self) -> int:
        (value,) = self._count.unpack(self._stream.read(self._count.size))
        return int(value)

    def _read_type(self) -> int:
        return int.from_bytes(self._stream.read(4))

    def _read_list_length(self) -> int:
        """Skip the kind of a list and return its length."""
        self._read_type()
        length = self._read_number()
        if not 0 <= length < 2**16:
            raise ValueError("a list of impossible length")
        return length

    def _skip_name(self) -> None:
        length = self._read_number()
        self._stream.seek(-(-length // 4) * 4, os.SEEK_CUR)

    def _read_dimension_length(self) -> int:
        self._skip_name()
        return self._read_number()

    def _skip_attributes(self) -> None:
        for _ in range(self._read_list_length()):
            self._skip_name()
            size = _VALUE_BYTES[self._read_type()] * self._read_number()
            self._stream.seek(-(-size // 4) * 4, os.SEEK_CUR)
