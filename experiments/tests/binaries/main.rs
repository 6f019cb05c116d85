//! The binaries as a user runs them, in one test program: each is linked once, and all run side by side.

mod bad_data;
mod binary;
mod compare;
mod csv;
mod data;
mod dimension;
mod environment;
mod graph;
mod metastable;
mod oversmoothing;
mod predictions;
mod runs;
mod sample;
mod speed;
mod tasks;
mod workspace;
mod wrong_use;
