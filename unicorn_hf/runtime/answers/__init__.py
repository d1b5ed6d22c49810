"""The store of raw answers: what was answered once is never asked again.

A store belongs to one engine. An answer is found by the key of its request and by nothing else: not by stage,
partition, order, count or recipe. A worker writes each answer to a journal of its own as it comes (`journal`), and
folds full journals into Parquet segments (`segments`); nobody takes a lock. `index` says where an answer lies.
"""

from unicorn_hf.runtime.answers.asking import Asking
from unicorn_hf.runtime.answers.store import FOLDER, AnswerStore, store_at

__all__ = ["FOLDER", "AnswerStore", "Asking", "store_at"]
