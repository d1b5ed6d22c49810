"""`python -m unicorn_hf` is `unicorn-hf`."""

from unicorn_hf.cli import main

if __name__ == "__main__":
    main(prog_name="unicorn-hf")
