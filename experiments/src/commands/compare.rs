//! Draws the learning curves of several runs over each other, or what they came to against what they cost.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::plot::{Panel, Series, file, panels};
use crate::run::error::{CliError, run};
use crate::run::folder::seed_folders;
use crate::run::history::numbers;
use clap::Parser;
use serde_json::Value;

/// Draws columns of history.csv of several runs over each other, one panel for each column. A folder
/// made with --seeds gives the mean over its seeds. With --ends a run is one point, by the figures of its metrics.json,
/// and the runs of a method are a curve.
#[derive(Parser)]
#[command(
    version,
    allow_negative_numbers = true,
    after_help = "Examples:\n  compare runs/gmm-w-iwsm runs/gmm-w-idem --columns in_mode,mode_kl --log mode_kl --out curves.png\n  compare runs/a runs/b --columns mode_kl --x energy_evaluations --out cost.png\n  compare runs/smc-* runs/pt-* --ends --columns e_w2 --log e_w2 --x energy_evaluations --out ends.png"
)]
pub struct Args {
    /// Run folders; their names become the legend, with --ends those of their methods.
    #[arg(required = true, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Columns of history.csv, or with --ends figures of metrics.json, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "loss", value_name = "NAMES")]
    columns: Vec<String>,
    /// Columns with a logarithmic axis.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    log: Vec<String>,
    /// Column on the horizontal axis; a folder of several seeds has its mean at each step. If left out: step, with
    /// --ends energy_evaluations.
    #[arg(long, value_name = "NAME")]
    x: Option<String>,
    /// A point for each run, by metrics.json, and a curve for each method, against the decimal logarithm of --x; the
    /// floor of a figure is dashed.
    #[arg(long, conflicts_with = "until")]
    ends: bool,
    /// Only up to this step.
    #[arg(long, default_value_t = f64::INFINITY, hide_default_value = true, value_parser = step)]
    until: f64,
    /// The picture to write: SVG if its name ends so, else PNG.
    #[arg(long, default_value = "curves.png", value_name = "FILE")]
    out: PathBuf,
}

fn step(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|v| *v >= 0.0);
    value.ok_or_else(|| "wants a step, 0 or more".into())
}

/// Runs the command; the exit code is that of the process.
pub fn main(args: &Args) -> std::process::ExitCode {
    run(|| body(args))
}

fn body(args: &Args) -> Result<(), CliError> {
    if let Some(column) = args.log.iter().find(|c| !args.columns.contains(c)) {
        let drawn = args.columns.join(", ");
        return Err(CliError::usage(format!("--log {column}: not one of --columns, which are {drawn}")));
    }
    file::check(&args.out, "--out")?;
    let x = args.x.as_deref();
    let (label, all) = if args.ends {
        let x = x.unwrap_or("energy_evaluations");
        (format!("log10 {x}"), ends(args, x)?)
    } else {
        let x = x.unwrap_or("step");
        (x.to_string(), curves(args, x)?)
    };
    let picture = panels("", &label, &all)?;
    file::write(&args.out, picture)
}

/// A panel for each column, with a curve for each method.
fn ends(args: &Args, x: &str) -> Result<Vec<Panel>, CliError> {
    let read = |path: &PathBuf| -> Result<(PathBuf, Value), CliError> {
        let file = path.join("metrics.json");
        let text = std::fs::read_to_string(&file).map_err(|e| CliError::io(&file, &e))?;
        let value = serde_json::from_str(&text);
        Ok((file.clone(), value.map_err(|e| CliError::usage(format!("{}: {e}", file.display())))?))
    };
    let runs = args.runs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if let Some([(first, one), (other, another)]) = (runs.windows(2))
        .find(|pair| pair[0].1["target"] != pair[1].1["target"] || pair[0].1["dim"] != pair[1].1["dim"])
    {
        let of = |run: &Value| format!("{} in {} dimensions", run["target"], run["dim"]);
        return Err(CliError::usage(format!(
            "{} is of {}, and {} of {}; give runs of one target",
            first.display(),
            of(one),
            other.display(),
            of(another)
        )));
    }
    let number = |(file, run): &(PathBuf, Value), name: &str| {
        run[name].as_f64().ok_or_else(|| {
            let file = file.display();
            CliError::usage(format!("{file}: `{name}` is no figure with a value there; choose one that has"))
        })
    };
    let panel = |column: &String| -> Result<Panel, CliError> {
        let mut methods: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        let mut floor: Vec<(f64, f64)> = Vec::new();
        for run in &runs {
            let x = number(run, x)?.log10();
            if !x.is_finite() {
                let file = run.0.display();
                return Err(CliError::usage(format!(
                    "{file}: what is on the axis must be positive; choose another --x"
                )));
            }
            methods
                .entry(run.1["method"].as_str().unwrap_or(""))
                .or_default()
                .push((x, number(run, column)?));
            floor.extend(run.1[format!("{column}_floor")].as_f64().map(|y| (x, y)));
        }
        let mut series: Vec<Series> = (methods.into_iter())
            .map(|(method, mut points)| {
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                Series { name: method.into(), points, floor: false }
            })
            .collect();
        if !floor.is_empty() {
            floor.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mean = floor.iter().map(|(_, y)| y).sum::<f64>() / floor.len() as f64;
            floor.iter_mut().for_each(|(_, y)| *y = mean);
            series.push(Series { name: "floor".into(), points: floor, floor: true });
        }
        drawable(Panel { label: column.clone(), log: args.log.contains(column), series })
    };
    args.columns.iter().map(panel).collect()
}

/// A panel for each column, with a curve for each run.
fn curves(args: &Args, x: &str) -> Result<Vec<Panel>, CliError> {
    let runs: Vec<_> = args.runs.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let panel = |column: &String| -> Result<Panel, CliError> {
        let series = args.runs.iter().zip(&runs).map(|(path, tables)| {
            let points = mean_curve(tables, column)?;
            let across = mean_curve(tables, x)?;
            let none = match (points.is_empty(), tables.len()) {
                (false, _) => format!("no step up to --until {}", args.until),
                (true, 1) => "history.csv has no rows".into(),
                (true, _) => "its seeds have no step in common".into(),
            };
            // Both have the steps that all seeds have in common.
            let mut points: Vec<(f64, f64)> = (points.iter().zip(&across))
                .filter(|((step, _), _)| *step <= args.until)
                .map(|((_, value), (_, x))| (*x, *value))
                .collect();
            if points.is_empty() {
                return Err(CliError::usage(format!("{}: {none}", path.display())));
            }
            points.retain(|(x, _)| x.is_finite());
            if points.is_empty() {
                let path = path.display();
                return Err(CliError::usage(format!("--x {x}: no value in it is finite in {path}")));
            }
            Ok(Series { name: name(path), points, floor: false })
        });
        let series = series.collect::<Result<_, CliError>>()?;
        drawable(Panel { label: column.clone(), log: args.log.contains(column), series })
    };
    args.columns.iter().map(panel).collect()
}

/// An error if nothing of the panel can be drawn.
fn drawable(panel: Panel) -> Result<Panel, CliError> {
    if panel.is_blank() {
        let (column, kind) = (&panel.label, if panel.log { "positive and finite" } else { "finite" });
        return Err(CliError::usage(format!("--columns {column}: no value in it is {kind}")));
    }
    Ok(panel)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A run's history.csv and its text, or those of its seeds.
fn read(path: &Path) -> Result<Vec<(PathBuf, String)>, CliError> {
    let read = |folder: &Path| {
        let file = folder.join("history.csv");
        let text = std::fs::read_to_string(&file).map_err(|e| CliError::io(&file, &e))?;
        Ok((file, text))
    };
    let seeds = seed_folders(path);
    if seeds.is_empty() || path.join("history.csv").is_file() {
        return Ok(vec![read(path)?]);
    }
    seeds.iter().map(|(_, folder)| read(folder)).collect()
}

/// (step, mean over seeds of a column), over the steps that every seed has.
fn mean_curve(tables: &[(PathBuf, String)], column: &str) -> Result<Vec<(f64, f64)>, CliError> {
    let curves = tables.iter().map(|(file, text)| curve(file, text, column));
    let curves = curves.collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = curves.split_first() else { return Ok(Vec::new()) };
    let by_step = |curve: &Vec<(f64, f64)>| curve.iter().map(|(s, v)| (s.to_bits(), *v)).collect();
    let others: Vec<HashMap<u64, f64>> = others.iter().map(by_step).collect();
    let mean = |(step, value): &(f64, f64)| {
        let sum = others.iter().try_fold(*value, |sum, other| Some(sum + other.get(&step.to_bits())?));
        Some((*step, sum? / tables.len() as f64))
    };
    Ok(first.iter().filter_map(mean).collect())
}

/// (step, value in a column) of every row.
fn curve(file: &Path, text: &str, column: &str) -> Result<Vec<(f64, f64)>, CliError> {
    let problem = |what: String| CliError::usage(format!("{}: {what}", file.display()));
    let (header, rows) = numbers(text);
    let k = header.iter().position(|h| h == column).ok_or_else(|| {
        problem(format!("there is no column `{column}`; the columns are {}", header.join(", ")))
    })?;
    let point = |row: Result<Vec<f64>, u64>| match row {
        Ok(row) => Ok((row[0], row[k])),
        Err(line) => Err(problem(format!("line {line} is damaged"))),
    };
    rows.map(point).collect()
}
