//! The truth table of the conditions, and the invariants of the status.
