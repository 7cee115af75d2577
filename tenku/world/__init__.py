"""The miniature world: synthetic clips with captions and ground truth, simulated by MuJoCo, ray traced."""
