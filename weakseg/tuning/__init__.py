"""Settings of a strategy, chosen by the evidence itself."""
