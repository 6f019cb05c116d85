//! Optimisers on one contiguous slice of parameters.

mod adam;
mod adamax;
mod clip;
mod ema;
mod schedule;

pub use adam::Adam;
pub use adamax::Adamax;
pub use clip::clip_by_norm;
pub use ema::Ema;
pub use schedule::Schedule;

/// Parameters of one task: a few microseconds, and tasks for several cores from a network of 128 units on.
const PART: usize = crate::parallel::CHUNK / 4;
