"""What the command ``trasos`` is made of where it is more than a call: how it speaks, and its sub-commands."""
