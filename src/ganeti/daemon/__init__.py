"""The process: options, going to the background, logs, signals, and which doors open in it."""
