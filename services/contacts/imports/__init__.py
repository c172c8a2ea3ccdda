"""Imports: people from CSV files of any size.

    lines.py    pieces of a file -> rows of cells, with their lines; what is wrong with a row is part of the row
    plan.py     what was asked for, and what each column of the header means
    rows.py     cells -> a row as it is staged, normalised like any other person
    batches.py  the file as batches of staged rows, from where an earlier try stopped
    writing.py  a batch -> people, addresses, consent, errors and the place in the file, in one transaction
    runs.py     the record of an import: begin, go on, finish, fail

A cell that is empty changes nothing. Tags are added to those that a person has. An address that the person does not
have yet becomes the one that is used. A later row with the same key changes what the earlier one made. Consent is
recorded where the ledger has none; a withdrawal stands.
"""
