"""The pseudo-labels of a data set as files that annotation tools read."""
