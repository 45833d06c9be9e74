//! (being built)

pub mod smtp;
