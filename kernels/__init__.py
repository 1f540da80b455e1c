"""One folder an operation: dispatch, plain reference, fast forms."""
