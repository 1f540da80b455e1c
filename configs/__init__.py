"""One run a file: get_config() returns the dataclass, the docstring gives command and expected result."""
