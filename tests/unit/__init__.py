"""Pure functions, and components under a recording monitor."""
