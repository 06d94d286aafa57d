"""From the organisers' files to batches: each module is one plain step.

images.py       the one loader of images and masks          tables.py      the one csv reader
catalog.py      the table of images, groups, strata         duplicates.py  copies and look-alikes
labels.py       polygons and mask images → Runs             label_rows.py  run-length rows → Runs
cache.py        labels in one file                          layout.py      what a download looks like
folds.py        the split: made once, checked at each load  balance.py     groups dealt in equal shares
placement.py, augment.py, loader.py  images and labels → batches for the network
demo*.py        the generated competition
"""
