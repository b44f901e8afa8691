"""What a recipe leaves to the data and the machine: looked up once, before training, by one small
function for each key."""
