"""Training: `trainer` is what every run does; `diffusion` and `autoencoder` are the two kinds of run."""
