"""Labels of images as files that annotation tools read, one module per format."""
