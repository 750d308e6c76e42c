"""PDF: what its pages say, in reading order, with the box of every part. All but :mod:`.parse` runs in the worker process.

Boxes are in points from the top left corner of the page as a reader sees it, turned pages included.
"""
