"""What a network sees: receptive fields, and dilation that a map is too small for."""
