"""How good a trained network is on a data set, and how several of them compare."""
