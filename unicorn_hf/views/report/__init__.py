"""A set as one HTML page that needs nothing else: figures, charts, a map of its vectors, rows, rejections.

Nothing of a row is ever mark-up or script. What Python writes into the page Jinja2 escapes; what the page's script
shows it takes from a block of JSON and puts there as text; and the page's Content-Security-Policy runs no script but
its own.
"""

from unicorn_hf.views.report.page import check_bokeh, write_report

__all__ = ["check_bokeh", "write_report"]
