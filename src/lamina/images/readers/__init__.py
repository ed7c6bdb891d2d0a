"""Images that exist already, read back: edges, so files are opened here.

Invariant: nothing an image file says of itself is believed before it was checked.
"""
