"""Superpixels, the graph of an image's regions, and cuts of that graph."""
