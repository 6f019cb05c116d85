//! Samplers: what turns a target into samples.

pub mod iwsm;
