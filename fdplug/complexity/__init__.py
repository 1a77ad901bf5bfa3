"""What a denoiser costs, layer by layer, without its weights: the paper's Tables 7 and 10 for any model."""
