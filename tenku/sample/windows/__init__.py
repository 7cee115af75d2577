"""Videos longer than a model makes at once: window by window, in latents or by way of pixels."""
