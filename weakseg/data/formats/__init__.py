"""Readers of annotation files, one module per format, and of images. The files are foreign:
everything in them is checked.

`voc_xml`, `labelme`, `yolo` and `mask_png` read one image per file and return an `Annotation`;
`coco`, `cvat`, `datumaro`, `label_studio` and `csv_file` read many and return a list. What tools
count differently (from 1, from a middle, in per cent) is the same from there on: classes by name,
places in pixel edges. `evidence.to_evidence` turns an annotation and its image into `Evidence`.
"""
