"""Data sets that are files: folders of images with annotations, and the layouts of public sets."""
