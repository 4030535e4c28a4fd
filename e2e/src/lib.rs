//! The tests that see the whole, and the project tasks (cargo xtask).
