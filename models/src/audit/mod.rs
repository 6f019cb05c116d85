//! May a run's figures be believed? Independent explorations of the target ([`explore`]), the samples beside them
//! ([`compare`]), and a verdict in words ([`Verdict`]).
//!
//! Explorations are three runs of sequential Monte Carlo, each from a Gaussian that short chains of its own have placed.
//! They know nothing of the run that is judged, and share its blind spots where it explored in the same way: a mode
//! that neither hot particles nor short chains meet is missed by both, and no program can tell.

mod compare;
mod explore;
mod verdict;

pub use compare::{Comparison, Judged, Pair, compare};
pub use explore::{Explorations, explore};
pub use verdict::{Audit, Evidence, Finding, Level, Verdict, log_z_apart};
