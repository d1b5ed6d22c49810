"""What a build would take and cost on rented GPUs, told on a machine that has none: `unicorn-hf plan --gpu`."""
