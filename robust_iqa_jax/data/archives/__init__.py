"""Published data sets, read from the files that their archives unpack to: one file a set, table.py names them all."""
