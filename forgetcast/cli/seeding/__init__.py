"""What `forgetcast seed` is made of: the pool of tasks, their order, what they cost, and the run."""
