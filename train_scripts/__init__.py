"""The entry points: every file but this one is run by itself, by `accelerate launch` or by the command `mamclip`."""
