"""Evidence made from full masks, as a person would have annotated."""
