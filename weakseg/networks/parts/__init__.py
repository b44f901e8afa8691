"""Backbones and layers that several networks share, and weights from files."""
