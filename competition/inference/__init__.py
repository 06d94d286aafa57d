"""Networks' answers: predicted once, kept as quantised logits, read by every later decision.

predict.py  images → logits, over test-time views    views.py         the views: forward and backward
store.py    one file of logits, an image at a time   quantisation.py  logits ↔ uint8 codes ↔ bytes
tiles.py    images of any size, tile by tile
joined_stores.py  several stores as one              disagreement.py  how far folds and views are apart
guided_filter.py  stored logits refined by the image
"""
