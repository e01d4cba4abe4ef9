"""Rows of Parquet files, of whose packing only what fits is unpacked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compressor.data.bounds import MOST_ROWS, check_bytes, parsed_as
from compressor.errors import DataError
from compressor.extras import require

# A row can repeat the longest value of its column: so much may come of the rows that are unpacked together.
AT_ONCE = 1_000_000_000
MOST_TOGETHER = 10_000
AGAIN = "write or fetch it again"


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Each row by column.

    Raises:
        DataError: It isn't Parquet, holds what Python can't (bytes that aren't UTF-8, dates beyond the year 9999), or
            unpacks to more than memory holds.
        MissingError: pyarrow isn't installed.
    """
    library = require("pyarrow.parquet")
    with parsed_as("Parquet", path, AGAIN), library.ParquetFile(path) as file:
        facts = file.metadata
        if facts.num_rows > MOST_ROWS:
            raise DataError(f"{path} has {facts.num_rows} rows, wanted at most {MOST_ROWS}", AGAIN)
        groups = [facts.row_group(place) for place in range(facts.num_row_groups)]
        check_bytes(sum(group.total_byte_size for group in groups), f"{path}, unpacked,", AGAIN)
        largest = max((group.total_byte_size for group in groups), default=1)
        taken = 0
        for batch in file.iter_batches(max(1, min(MOST_TOGETHER, AT_ONCE // max(1, largest)))):
            batch.validate(full=True)
            taken += batch.nbytes
            check_bytes(taken, f"{path}, unpacked,", AGAIN)
            yield from batch.to_pylist()
