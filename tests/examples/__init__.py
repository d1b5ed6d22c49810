"""The programs in `examples/`, run as users run them."""
