"""What the command line trains: configuration, folders of runs, sweeps."""
