"""Arrow: files of columns for `copy_to` and `copy_from`. What needs pyarrow is here, and imports it when it is called.

COPY goes on carrying text: pyarrow reads and writes columns of it in C, at about four times the speed of values that
a cursor gave to Python, and more than that of COPY's binary format taken apart in Python.
"""
