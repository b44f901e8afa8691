"""Labels of images as files that annotation tools read, one module per format.

`formats.write_labels` writes any of them; `png` has the masks that all others are made from, and
`labels` what writers are given.
"""
