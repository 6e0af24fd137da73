"""The pure core: no clock, no I/O, no randomness. `step(state, event) -> (state, commands)` is all it does."""
