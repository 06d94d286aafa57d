"""A download → a commented competition file.

write.py        with a preset or without; proven, or not written
detect.py       what a preset only guesses: endings, columns, classes, how ids are written
search.py       without a preset: what only labels tell, and questions
layout.py       which images, labels and sample lie there, each key with where it comes from
download.py     images, masks, csv files, lists of classes, as they were looked at
text_labels.py  csv of run-length texts    mask_labels.py  mask images and their classes
grouping.py     which images belong together
survey.py       files by place, csv files by what they hold
label_files.py  which label file is whose    annotations.py  files of annotation tools
mask_values.py  how mask images code classes    class_names.py  lists of classes
pixel_values.py  channels, and values that nothing places
values.py       a value and its origin    file_text.py  values as a commented file
"""
