"""Many runs: a grid of settings, their processes, and the choice among them."""
