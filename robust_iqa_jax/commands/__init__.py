"""The commands of `riqa`, one file each; cli.py dispatches to them."""
