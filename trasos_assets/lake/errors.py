"""What the lake refuses."""


class LakeError(Exception):
    """The lake refuses what it was asked to do; the message says why and what to do."""
