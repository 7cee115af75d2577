"""Training of the transformer (loop, step) and of the autoencoder; both share optim and checkpoint."""
