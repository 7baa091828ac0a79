"""One update, the loop around it, learning rates and checkpoints."""
