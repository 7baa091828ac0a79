"""Which module runs where: what modules cost, how they are cut and placed."""
