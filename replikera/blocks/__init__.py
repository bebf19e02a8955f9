"""What is in a disk and what changed in it: extents, and the segments that carry them."""
