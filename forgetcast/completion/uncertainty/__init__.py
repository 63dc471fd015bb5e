"""How far off a forecast may be."""
