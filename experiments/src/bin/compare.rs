//! Draws the learning curves of several runs over each other.

use std::path::{Path, PathBuf};

use clap::Parser;
use engine::checkpoint::write_atomic;
use experiments::cli::parse;
use experiments::failure::{Failure, run};
use experiments::plot::{Panel, Series, panels};

/// Draws columns of history.csv of several runs over each other, one panel for each column. A folder
/// made with --seeds gives the mean over its seeds.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  compare runs/gmm-w-iwsm runs/gmm-w-idem --columns in_mode,mode_kl --log mode_kl --out curves.png"
)]
struct Args {
    /// Run folders; their names become the legend.
    #[arg(required = true, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Columns of history.csv, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "loss", value_name = "NAMES")]
    columns: Vec<String>,
    /// Columns with a logarithmic axis.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    log: Vec<String>,
    /// Only up to this step.
    #[arg(long, default_value_t = f64::INFINITY, hide_default_value = true)]
    until: f64,
    /// The picture to write.
    #[arg(long, default_value = "curves.png", value_name = "FILE")]
    out: PathBuf,
}

fn main() -> std::process::ExitCode {
    let args = parse::<Args>();
    run(|| {
        let runs: Vec<_> = args.runs.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        let panel = |column: &String| -> Result<Panel, Failure> {
            let series = args.runs.iter().zip(&runs).map(|(path, tables)| {
                let mut points = mean_curve(path, tables, column)?;
                points.retain(|(step, _)| *step <= args.until);
                Ok(Series { name: name(path), points, floor: false })
            });
            let series = series.collect::<Result<_, Failure>>()?;
            Ok(Panel { label: column.clone(), log: args.log.contains(column), series })
        };
        let all = args.columns.iter().map(panel).collect::<Result<Vec<_>, _>>()?;
        let picture = panels("", "step", &all)?;
        write_atomic(&args.out, &picture).map_err(|e| Failure::io(&args.out, &e))
    })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The text of a run's history.csv, or of each of its seeds'.
fn read(path: &Path) -> Result<Vec<String>, Failure> {
    let text = |path: PathBuf| std::fs::read_to_string(&path).map_err(|e| Failure::io(&path, &e));
    if !path.join("seed0").is_dir() {
        return Ok(vec![text(path.join("history.csv"))?]);
    }
    let seeds = (0..).map(|s| path.join(format!("seed{s}"))).take_while(|p| p.is_dir());
    seeds.map(|p| text(p.join("history.csv"))).collect()
}

/// (step, mean over seeds of a column), over the steps that every seed has.
fn mean_curve(path: &Path, tables: &[String], column: &str) -> Result<Vec<(f64, f64)>, Failure> {
    let problem = |what: String| Failure::usage(format!("{}: history.csv {what}", path.display()));
    let mut mean: Vec<(f64, f64)> = Vec::new();
    for (seed, table) in tables.iter().enumerate() {
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let k = header.iter().position(|h| *h == column).ok_or_else(|| {
            problem(format!("has no column `{column}`; its columns are {}", header.join(", ")))
        })?;
        let mut rows = 0;
        for (i, line) in lines.enumerate() {
            let cells: Vec<f64> = line.split(',').map_while(|c| c.parse().ok()).collect();
            if cells.len() != header.len() {
                return Err(problem(format!("is damaged in line {}", i + 2)));
            }
            rows += 1;
            if seed == 0 {
                mean.push((cells[0], cells[k]));
            } else if let Some(m) = mean.get_mut(i) {
                m.1 += cells[k];
            }
        }
        mean.truncate(rows);
    }
    mean.iter_mut().for_each(|m| m.1 /= tables.len() as f64);
    Ok(mean)
}
