"""Receptive fields, and dilation that is too large for a feature map."""
