"""A download → a commented competition file.

detect.py  what lies in the download    write.py  a preset, adjusted to that, and proven
"""
