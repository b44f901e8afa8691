"""Max-margin clustering of the superpixels of a whole data set."""
