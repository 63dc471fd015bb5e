"""What a person reads: back-test and analysis."""
