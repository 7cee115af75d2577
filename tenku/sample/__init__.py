"""From a prompt to a clip: conditioning, guidance, denoising and the pipeline that composes them."""
