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
