"""The denoising loop: what happens around the scheduler, the denoiser, the modules of its part, its companions."""
