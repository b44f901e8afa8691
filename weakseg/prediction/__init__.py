"""Predictions of a trained network for a folder of images, as files."""
