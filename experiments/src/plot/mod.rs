//! Pictures as PNG and as SVG, drawn with a font of our own, so that they need nothing from the system.

mod axis;
mod canvas;
mod clouds;
mod contour;
mod curves;
mod density;
pub mod file;
mod maps;
mod svg;

pub use clouds::{Cloud, clouds};
pub use curves::{Panel, Series, panels};
pub use density::{Grid, density_samples};
pub use maps::{Map, maps};
pub use svg::escaped;

use crate::run::RunFolder;
use crate::run::error::CliError;

/// A picture in both forms.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// For documents and mails.
    pub png: Vec<u8>,
    /// For browsers and print: sharp at any size, its text can be searched.
    pub svg: Vec<u8>,
}

impl Picture {
    /// Writes NAME.png and NAME.svg.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, folder: &RunFolder, name: &str) -> Result<(), CliError> {
        folder.write(&format!("{name}.png"), &self.png)?;
        folder.write(&format!("{name}.svg"), &self.svg)
    }
}
