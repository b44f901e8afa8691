"""A trained network from wherever it is stored: a run folder, a checkpoint, an exported graph, a
published folder; and the writing of the last two."""
