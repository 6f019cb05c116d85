//! Metastability measured: how long plateaus last, and where patterns stand, against the strength of aggregation and
//! what else an equation and a graph have.

mod config;
mod measure;
mod pictures;
mod rows;
#[cfg(test)]
mod tests;

pub use config::{Axis, MetastabilityConfig, Point, Studied};

use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::jobs;
use crate::run::rows::{Row, read, write};
use crate::run::{RunFolder, program};

/// What the folder of a run holds.
pub const KIND: &str = "study of metastability";
/// Files of rows, of which each task of a sweep has its own.
pub const TABLES: [&str; 1] = [rows::Measured::FILE];

/// Runs the plan in its folder, from what is finished there on, and returns a table for the terminal.
///
/// # Errors
/// The folder cannot be written to, or the user has asked to stop.
pub fn execute(
    plan: &MetastabilityConfig,
    folder: &RunFolder,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<String, CliError> {
    let resume = program::line(format_args!("oversmoothing --resume {}", folder.path().display()));
    let advice = format!("resume with: {resume}");
    interrupt.advise(&advice);
    let stopped = |e: CliError| match e {
        CliError::Interrupted(_) => CliError::Interrupted(format!("stopped; {advice}")),
        other => other,
    };
    let mut points = plan.phase_points();
    points.extend(measure::exit_points(plan)?);
    let place = |row: &rows::Measured| points.iter().position(|point| row.is_at(*point));
    let done = read(folder, |row| place(row).is_some(), place)?;
    let wanted: Vec<Option<usize>> = folder.own((0..points.len()).map(Some));
    let theory = measure::theory(plan, &points)?;
    let work = |job: &Option<usize>| {
        let k = job.unwrap_or(0);
        rows::measure(plan, points[k], theory[k], interrupt)
    };
    let save = |done: &[rows::Measured]| write(folder, done);
    let message = |done: &[rows::Measured]| format!("{} of {} integrations", done.len(), wanted.len());
    let (measured, outcome) = jobs::run(&wanted, done, place, quiet, work, save, message);
    outcome.map_err(stopped)?;
    if let Some(said) = folder.end_task("oversmoothing")? {
        return Ok(said);
    }
    pictures::phase(plan, folder, &measured)?;
    pictures::exits(plan, folder, &measured)?;
    pictures::courses(plan, folder, interrupt, quiet).map_err(stopped)?;
    folder.write("DONE", b"")?;
    Ok(rows::table(plan, &measured))
}
