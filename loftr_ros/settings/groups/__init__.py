"""Groups of parameters: a dataclass each, whose fields are the declarations."""
