"""Training: the LightningModule, the rounds of estimation, and the callbacks around them."""
