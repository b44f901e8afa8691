"""weakseg as a part of annotation tools that people run already."""
