"""What a build would take and cost on rented GPUs, told on a machine that has none: `unicorn-hf plan --gpu`."""

from unicorn_hf.rented.quotes import Quote, Quotes, Rental, lines
from unicorn_hf.rented.work import Work, can_sample, work_of

__all__ = ["Quote", "Quotes", "Rental", "Work", "can_sample", "lines", "work_of"]
