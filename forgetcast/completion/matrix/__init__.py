"""What comes in: known rows, their file, and what a fit reads of them."""
