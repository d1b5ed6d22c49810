"""Streaming readers of untrusted files: lines of text, tables, JSON, Parquet. Seeds and imports share them.

Row numbers count from 1. In files with lines (.txt, .csv, .tsv, .jsonl) the number is the line in an editor: the header
of a table is line 1, and a row of several lines has the number of its first. Otherwise it is the item of a JSON list,
the row of a Parquet file, or the sample of a tar shard.
"""
