"""Key steps by measurement instead of by hand: for a model, a sampler, a step count and a budget."""
