"""Models that others have trained on very many images, and that weakseg asks without training them
any further: for masks from prompts, for names of classes, and for features."""
