"""Readers of label files, one module a format, named after `kind` in `[labels]`.

Each has `read(competition, images)` → `PixelLabels` by image, and `files(competition, images)` → the
files that it reads, whether they exist or not; images: rows of the catalog. To add one, add its table to
the spec and a module of that name here.

polygons.py  a JSON file an image      masks.py          a mask image an image
rle.py       a csv of run-length text  file_per_image.py  what the first two share
ignored.py   mask images of pixels that do not count, beside any of them
"""
