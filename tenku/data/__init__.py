"""From clips on disk to batches of latents: source (clips), latents (encoded once), loader (batches)."""
