//! One number of connections over a whole fleet of instances.

pub mod exchange;
