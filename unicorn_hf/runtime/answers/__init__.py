"""The store of raw answers: an answered request is never sent again.

A store belongs to one engine. The key of an answer is that of its request: stage, partition, order, count and recipe do
not matter. A worker appends each answer to its own journal (`journal`), and compacts full journals into Parquet
segments (`segments`), without locks. `index` maps keys to files and positions.
"""

from unicorn_hf.runtime.answers.asking import Asking
from unicorn_hf.runtime.answers.store import FOLDER, AnswerStore, store_at

__all__ = ["FOLDER", "AnswerStore", "Asking", "store_at"]
