"""What a person corrects in the evidence of a data set: events in small files, laid over it."""
