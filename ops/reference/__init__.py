"""The parts of the reference documentation that are generated from the code; `python -m ops.reference` checks them."""
