//! Pictures as PNG, drawn with a font of our own, so that they need nothing from the system.

mod axis;
mod canvas;
mod clouds;
mod contour;
mod curves;
mod density;
mod maps;

pub use clouds::{Cloud, clouds};
pub use curves::{Panel, Series, panels};
pub use density::{Grid, density_samples};
pub use maps::{Map, maps};
