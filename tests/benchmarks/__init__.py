"""Tests of benchmarks: what they count and ask, not how fast anything is."""
