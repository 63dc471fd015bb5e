"""An upstream set from what people have: files of examples or texts in, a stratified sample without duplicates out.

    where examples come from     sources.py         JSON Lines, Parquet, saved data sets, a hub; passages.py: texts
    how many of each domain      allocation.py
    which of them                sample.py          by a digest of seed and place; near_duplicates.py takes out twins

Knows no pydantic and no service. pyarrow, rensa and datasets are loaded where they are needed.
"""

from forgetcast.upstream.sample import Sample, draw_sample
from forgetcast.upstream.sources import Columns, Source, find_sources

__all__ = ["Columns", "Sample", "Source", "draw_sample", "find_sources"]
