"""From files to pixels to tensors: flat files that travel with a checkpoint."""
