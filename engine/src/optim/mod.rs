//! Optimisers on one contiguous slice of parameters.

mod adam;
mod clip;
mod ema;
mod schedule;

pub use adam::Adam;
pub use clip::clip_by_norm;
pub use ema::Ema;
pub use schedule::Schedule;
