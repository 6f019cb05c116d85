//! The over-smoothing experiment: how alike nodes become with depth.

mod along;
mod arms;
mod config;
mod depth;
mod grid;
mod summary;
#[cfg(test)]
mod tests;

pub use arms::Arm;
pub use config::{GRID, OversmoothingConfig, OversmoothingRequest};

use models::gnn::Dataset;

use crate::plot::Series;
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::rows::Row;
use crate::run::{RunFolder, program};

/// What the folder of a run holds.
pub const KIND: &str = "run of oversmoothing";

/// Files of rows, of which each task of a sweep has its own.
pub const TABLES: [&str; 2] = [depth::Trained::FILE, along::Along::FILE];

/// Runs the plan in its folder, from what is finished there on, and returns a table for the terminal. `data` are
/// those to train on; none for the grid.
pub fn execute(
    plan: &OversmoothingConfig,
    data: Option<&Dataset>,
    folder: &RunFolder,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<String, CliError> {
    let resume = program::line(format_args!("oversmoothing --resume {}", folder.path().display()));
    interrupt.advise(format!("resume with: {resume}"));
    let table = match data {
        None => grid::on_grid(plan, folder, interrupt)?,
        Some(data) => depth::trained(plan, data, folder, interrupt, quiet)?,
    };
    folder.write("DONE", b"")?;
    Ok(table)
}

fn line(name: &str, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.into(), points, floor: false }
}
