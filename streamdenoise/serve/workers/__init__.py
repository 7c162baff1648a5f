"""Child processes that run cameras, and the supervisor that replaces them."""
