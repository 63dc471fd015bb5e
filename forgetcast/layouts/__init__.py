"""Fine-tuning data in the layouts that people have -> examples in one of three forms; the API, `forgetcast dataset
check` and the worker all read through here, so that none takes what another refuses.

    what a file is wrapped in     wrappings.py   gzip, zstd; UTF-8, UTF-16 or UTF-32; what is only named (zip, xz, ...)
    how examples stand in it      values.py      JSON Lines, an array, objects over several lines; parquet.py: a table
    what an example looks like    table.py       one entry a layout: its fields, and how they are converted
    turns of a conversation       turns.py

An example is {"text"}, {"prompt", "completion"} or {"messages"} with a reply, and {"tools"} where there are any.
Knows no pydantic, so that the command line starts at once; pyarrow is loaded for Parquet and zstd alone.
"""

from forgetcast.layouts.reading import VERSION, Example, Survey, example_of, read_examples, read_records, survey

__all__ = ["VERSION", "Example", "Survey", "example_of", "read_examples", "read_records", "survey"]
