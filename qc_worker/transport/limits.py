"""Limits on the size of records, for which topics, producers and consumers are set up."""

MEBIBYTE = 1024 * 1024
RECORD_HEADROOM_BYTES = MEBIBYTE
"""Key, headers and batch framing around the largest frame."""
MAX_RECORD_BYTES = 16 * MEBIBYTE + RECORD_HEADROOM_BYTES
"""The largest record that topics, producers and consumers are set up for."""
MAX_DEAD_LETTER_BYTES = MAX_RECORD_BYTES + RECORD_HEADROOM_BYTES
"""Size of a dead letter: the largest frame and a few headers more. It must fit, or one frame would stop the line."""
