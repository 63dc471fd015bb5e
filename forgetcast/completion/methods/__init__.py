"""How the mean of a new row is made, a file a method."""
