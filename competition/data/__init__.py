"""From the organisers' files to batches: each module is one plain step.

images.py     the one loader of images and masks        csv_text.py    the one csv reader
dicom.py, npy.py, nifti.py, tiff_samples.py  the files that Pillow does not read
pages.py      slices of one file as images              bands.py       one file for each channel
levels.py     channels, bits, black and white         strips.py      large files, some rows at a time
catalog.py    the table of images, groups, strata       duplicates.py  copies and look-alikes
labels.py     label files → Runs, kept in one file      readers/       one reader a label format
pixel_labels.py  classes and ignored pixels of an image  label_export.py  Runs → label files
folds.py      the split: made once, checked at each load
holdout.py    groups that nothing is fitted on          leaks.py       what is refused at each load
letterbox.py  images at the network's size    scaled.py     images at a scale
mixing.py     examples made of several images
augment.py, loader.py  images and labels → batches for the network
"""
