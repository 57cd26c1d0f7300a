"""`fulfillment projections`: versions of read models, built, compared, switched and retired.

command.py      the command line          deploy.py       build one beside the live one
verify.py       compare it, document by document          switch.py       promote, roll back, retire
"""
