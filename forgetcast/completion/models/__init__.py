"""Where a mean and a variance of every cell come from."""
