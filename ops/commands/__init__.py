"""The commands of `fulfillment`: each file parses arguments, calls the logic and prints the result."""
