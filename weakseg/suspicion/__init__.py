"""Which images have the most suspicious labels, without any truth."""
