//! Mean and standard deviation of figures over training seeds.

use models::evaluate::Figure;
use models::metrics::{mean, sd};

use super::{GmmConfig, report};
use crate::failure::Failure;
use crate::run_folder::RunFolder;

/// Each figure's mean over runs, with the standard deviation over runs; writes metrics.json.
pub fn summarise(
    folder: &RunFolder,
    config: &GmmConfig,
    runs: &[Vec<Figure>],
) -> Result<Vec<Figure>, Failure> {
    let first = runs.first().map(Vec::as_slice).unwrap_or_default();
    let figures: Vec<Figure> = (first.iter().enumerate())
        .map(|(k, f)| {
            let values: Vec<f64> = runs.iter().map(|r| r[k].value).collect();
            let floors: Vec<f64> = runs.iter().filter_map(|r| r[k].floor).collect();
            let floor = (!floors.is_empty()).then(|| mean(&floors));
            let floor_sd = floor.and(f.floor_sd).map(|_| sd(&floors));
            Figure { name: f.name, value: mean(&values), sd: Some(sd(&values)), floor, floor_sd }
        })
        .collect();
    folder.write("metrics.json", report::metrics_json(config, &figures, runs.len()).as_bytes())?;
    Ok(figures)
}
