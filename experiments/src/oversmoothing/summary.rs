//! What the trainings of several splits and seeds come to: a table and pictures.

use models::gnn::Dataset;
use models::metrics::{mean, sd};

use super::depth::Trained;
use super::{OversmoothingConfig, line};
use crate::plot::{Panel, Picture, Series, panels};
use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::table::{figure, plain, shortest};

/// An arm at a depth.
struct Mean<'a> {
    arm: &'a str,
    depth: usize,
    /// The trainings that did not diverge, and how many did.
    rows: Vec<&'a Trained>,
    diverged: usize,
}

impl Mean<'_> {
    fn of(&self, figure: fn(&Trained) -> f64) -> (f64, Option<f64>) {
        let values: Vec<f64> = self.rows.iter().map(|row| figure(row)).collect();
        match values.len() {
            0 => (f64::NAN, None),
            1 => (values[0], None),
            _ => (mean(&values), Some(sd(&values))),
        }
    }
}

/// A column of the summary: its name, and the figure.
type Column = (&'static str, fn(&Trained) -> f64);

const COLUMNS: [Column; 9] = [
    ("units", |row| row.diffusion_units),
    ("validation", |row| 100.0 * row.validation),
    ("test", |row| 100.0 * row.test),
    ("energy", |row| row.energy_after / row.energy_before),
    ("plain", |row| row.plain_energy_after / row.plain_energy_before),
    ("relative", |row| row.relative_energy_after),
    ("rank", |row| row.rank_after),
    ("clusters", |row| row.clusters),
    ("NMI", |row| row.nmi),
];

/// Writes summary.csv, depth.png and units.png; returns the table for the terminal.
pub(super) fn write(
    plan: &OversmoothingConfig,
    data: &Dataset,
    folder: &RunFolder,
    rows: &[Trained],
) -> Result<String, CliError> {
    let means: Vec<Mean<'_>> = plan
        .depths()
        .map(|(arm, depth)| {
            let own = || rows.iter().filter(|row| row.model == arm && row.depth == depth);
            let finished: Vec<&Trained> = own().filter(|row| row.validation.is_finite()).collect();
            Mean { arm, depth, diverged: own().count() - finished.len(), rows: finished }
        })
        .collect();
    let mut text = String::from("model,depth,trainings,diverged");
    COLUMNS.iter().for_each(|(name, _)| text += &format!(",{name},{name}_sd"));
    let mut table = Vec::new();
    for m in &means {
        text += &format!("\n{},{},{},{}", m.arm, m.depth, m.rows.len(), m.diverged);
        let mut cells = vec![m.arm.to_string(), m.depth.to_string()];
        for (_, column) in COLUMNS {
            let (value, deviation) = m.of(column);
            text += &format!(",{},{}", shortest(value), deviation.map_or(String::new(), shortest));
            cells.push(if value.is_nan() { "-".into() } else { figure(value, deviation) });
        }
        // What a clock decides stands in no file that another run should give again.
        cells.push(figure(m.of(|row| row.seconds).0, None));
        cells.push(m.diverged.to_string());
        table.push(cells);
    }
    folder.write("summary.csv", (text + "\n").as_bytes())?;
    type Place = fn(&Mean<'_>) -> f64;
    let pictures: [(&str, &str, Place); 2] = [
        ("depth", "log2 of the depth", |m| m.depth as f64),
        ("units", "log2 of the units of diffusion", |m| m.of(COLUMNS[0].1).0),
    ];
    for (name, label, place) in pictures {
        picture(plan, data, &means, label, place)?.write(folder, name)?;
    }
    let names: Vec<&str> = ["model", "depth"]
        .into_iter()
        .chain(COLUMNS.iter().map(|c| c.0))
        .chain(["seconds", "diverged"])
        .collect();
    Ok(plain(&names, &table))
}

/// Accuracy, and what becomes of the states, against a logarithmic axis.
fn picture(
    plan: &OversmoothingConfig,
    data: &Dataset,
    means: &[Mean<'_>],
    label: &str,
    place: fn(&Mean<'_>) -> f64,
) -> Result<Picture, CliError> {
    let curves = |column: fn(&Trained) -> f64, floor: f64| -> Vec<Series> {
        let of = |name: &String| {
            let own = means.iter().filter(|m| m.arm == name && !m.rows.is_empty());
            // An arm without edges has no place on an axis of units.
            let points = own.map(|m| (place(m).log2(), m.of(column).0.max(floor)));
            line(name, points.filter(|(x, _)| x.is_finite()).collect())
        };
        plan.networks.iter().map(of).collect()
    };
    let figure = plan.shared().map_or("figure", |data| data.metric.name());
    let panel = |label: &str, log, series| Panel { label: label.into(), log, series };
    let parts = [
        panel(&format!("test {figure}, %"), false, curves(COLUMNS[2].1, f64::NEG_INFINITY)),
        panel("energy by degree, end / start", true, curves(COLUMNS[3].1, 1e-30)),
        panel("energy over variance, end", true, curves(COLUMNS[5].1, 1e-30)),
        panel("numerical rank, end", false, curves(COLUMNS[6].1, f64::NEG_INFINITY)),
    ];
    let title = format!("{}: splits {}, seeds {}", data.name, plan.splits, plan.seeds);
    panels(&title, label, &parts)
}
