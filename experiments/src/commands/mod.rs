//! What the binaries do, a module each: arguments, and the command that they make; [`metastable`] has all of them.

pub mod compare;
pub mod data;
pub mod dimension;
pub mod graph;
pub mod metastable;
pub mod oversmoothing;
pub mod sample;
pub mod speed;
