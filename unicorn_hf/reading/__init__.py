"""Files of others, read as streams: lines of text, tables, JSON, Parquet. Seeds and imports share the readers.

Places count from 1. Where a file has lines (.txt, .csv, .tsv, .jsonl) a place is the line that an editor shows: the
header of a table is line 1, and a row of several lines is named by its first. Elsewhere it is the item of a JSON list,
the row of a Parquet file, the sample of a tar shard.
"""
