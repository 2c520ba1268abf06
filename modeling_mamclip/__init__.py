"""The MAM-CLIP model: flat files that travel with a checkpoint."""
