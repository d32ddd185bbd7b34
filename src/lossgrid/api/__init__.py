"""The door from Python: a surface computed, opened, compared; nothing is loaded before it is asked for."""
