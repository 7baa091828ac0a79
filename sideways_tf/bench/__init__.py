"""How fast all of it is: Table 2 of the paper for this machine, the input, the streams."""
