"""A set as one self-contained HTML page: figures, charts, a map of its vectors, rows, rejections.

Text of a row never becomes markup or script. Jinja2 escapes everything that Python writes into the page; the page's
script takes its data from a JSON block and inserts it as text; the page's Content-Security-Policy allows only its own
scripts.
"""

from unicorn_hf.views.report.page import check_bokeh, write_report

__all__ = ["check_bokeh", "write_report"]
