"""How a denoiser's features change from step to step: the paper's Figures 3 and 11, for any pipeline."""
