"""Learning from a stream by the clock: source, capture, task, session, what is shown."""
