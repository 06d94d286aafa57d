"""Readers of label files, one module a format, named after `kind` in `[labels]`.

Each has `read(competition, images)` → `PixelLabels` by image, and `files(competition, images)` → the
files that it reads, whether they exist or not; images: rows of the catalog. To add one, add its table to
the spec and a module of that name here.

masks.py     mask images               polygons.py     a JSON file an image
rle.py       a csv of run-length text  coco.py         JSON files of many images
yolo.py      a text file an image      labelme.py      a JSON file an image
cvat.py      XML files of many images  supervisely.py  a JSON file an image
label_studio.py  JSON files of many images

file_per_image.py  files that a pattern names for each image     exports.py  files of many images
shapes.py    shapes of named classes   ignored.py   mask images of pixels that do not count
annotators.py  masks of several annotators
"""
