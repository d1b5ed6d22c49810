"""Shared by engines and encoders."""

INSTALL = "pip install 'unicorn-hf[gpu]' on a machine with a GPU, 'unicorn-hf[cpu]' on others."
"""Advice when the packages that run models are missing."""
