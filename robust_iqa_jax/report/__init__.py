"""Reports of evaluations: rows, findings, paired comparison, tables, figures, and the files made from them."""
