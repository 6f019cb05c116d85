//! What graph data there are, what they hold, whether they are sound; importing and fetching them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::datasets::known::{Known, contents, masks};
use crate::datasets::{BUILT_IN, Format, Imported, KNOWN, available, fetch, folder, load, load_file};
use crate::run::error::{CliError, run};
use crate::run::{console, program};
use crate::table::plain;
use clap::{Parser, Subcommand};
use models::gnn::Dataset;
use models::gnn::data::check::check;
use models::gnn::data::homophily::homophily;

/// Graph data sets: list them, describe them, check them, import and fetch them.
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = false,
    after_help = "Examples:\n  data list --data-dir DIR\n  data info karate\n  data check all --data-dir DIR\n  data import csv --edges e.csv --features x.csv --labels y.csv --out mine.npz\n  data import geom-gcn --from new_data/texas --splits splits/texas_*.npz --out texas.npz\n  data fetch cora --out DIR"
)]
pub struct Args {
    /// Folder with NAME.npz files (default: what METASTABLE_DATA names).
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names of the data sets that are there, and of those that are known.
    List,
    /// Nodes, edges, features, classes, homophily, components, splits.
    Info {
        /// A name, or the path of an npz.
        name: OsString,
    },
    /// Whether it is sound, and whether a known one is what it should be.
    Check {
        /// A name, the path of an npz, or `all`.
        name: OsString,
    },
    /// Turns other programs' files into an npz that `graph` reads. Nothing but a data set is replaced by it, and nothing
    /// is written through a link.
    #[command(arg_required_else_help = false)]
    Import {
        #[command(subcommand)]
        format: Format,
    },
    /// Downloads the source of a known data set, what is not there yet, and imports it.
    Fetch {
        /// The name, or `all`.
        name: String,
        /// Folder for NAME.npz; the source lies in sources/NAME within.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
}

/// Runs the command; the exit code is that of the process.
pub fn main(args: &Args) -> ExitCode {
    run(|| {
        let dir = args.data_dir.as_deref();
        match &args.command {
            Command::List => list(dir),
            Command::Info { name } => info(&open(name, dir)?.1),
            Command::Check { name } if name == "all" => check_all(dir),
            Command::Check { name } => {
                let (name, data) = open(name, dir)?;
                demand(&name, report(&name, &data))
            }
            Command::Import { format } => format.import().and_then(|imported| summarise(&imported)),
            Command::Fetch { name, out } if name == "all" => fetch_all(out),
            Command::Fetch { name, out } => {
                let (path, data) = fetch(name, out)?;
                tell(&path, &data);
                demand(name, report(name, &data))
            }
        }
    })
}

/// A data set by name or path, and what to call it: a path need not be text.
fn open(name: &OsStr, dir: Option<&Path>) -> Result<(String, Dataset), CliError> {
    let data = match name.to_str() {
        Some(name) => load(name, dir)?,
        None => load_file(Path::new(name))?,
    };
    Ok((name.display().to_string(), data))
}

fn list(dir: Option<&Path>) -> Result<(), CliError> {
    let folder = folder(dir);
    let there = folder.as_deref().map(available).transpose()?.unwrap_or_default();
    let mut rows: Vec<Vec<String>> =
        BUILT_IN.iter().map(|n| vec![n.to_string(), "built in".into()]).collect();
    rows.extend(there.iter().map(|n| vec![n.clone(), "there".into()]));
    let missing = KNOWN.iter().filter(|k| !there.iter().any(|n| n == k.name));
    rows.extend(missing.map(|k| {
        vec![k.name.into(), format!("not there; {}", program::line(format_args!("data fetch {}", k.name)))]
    }));
    console::print(plain(&["data set", "state"], &rows))?;
    match folder {
        None => console::print("no data folder is set: give --data-dir DIR or set METASTABLE_DATA\n"),
        Some(_) => Ok(()),
    }
}

fn info(data: &Dataset) -> Result<(), CliError> {
    let h = homophily(data);
    let (component, count) = data.components();
    let mut sizes = vec![0_usize; count];
    component.iter().for_each(|c| sizes[*c] += 1);
    let isolated = data.degrees().iter().filter(|d| **d == 0).count();
    let splits = match (data.splits.first(), &data.public) {
        (Some(s), public) => {
            let (a, b, c) = (s.train.len(), s.validation.len(), s.test.len());
            format!(
                "{} ({a} / {b} / {c}){}",
                data.splits.len(),
                if public.is_some() { " and the public one" } else { "" }
            )
        }
        (None, _) => "none".into(),
    };
    let row = |name: &str, value: String| vec![name.to_string(), value];
    let rows = [
        row("nodes", data.nodes().to_string()),
        row("undirected edges", (data.edges.len() / 2).to_string()),
        row("features", data.features.cols().to_string()),
        row("features set", data.features.set().to_string()),
        row("classes", data.classes.to_string()),
        row("edge homophily", format!("{:.4}", h.edge)),
        row("node homophily", format!("{:.4}", h.node)),
        row("adjusted homophily", format!("{:.4}", h.adjusted)),
        row("class-insensitive homophily", format!("{:.4}", h.class_insensitive)),
        row("components", format!("{count} (largest {})", sizes.iter().max().unwrap_or(&0))),
        row("isolated nodes", isolated.to_string()),
        row("splits (training / validation / test)", splits),
    ];
    console::print(plain(&[&data.name, ""], &rows))
}

/// Checks what is in the data folder, and what needs no file.
fn check_all(dir: Option<&Path>) -> Result<(), CliError> {
    let Some(folder) = folder(dir) else {
        return Err(CliError::usage("check all: give --data-dir DIR or set METASTABLE_DATA"));
    };
    let there = available(&folder)?;
    if there.is_empty() {
        return Err(CliError::usage(format!("{}: holds no data set", folder.display())));
    }
    let sound = |name: &String| {
        load(name, Some(&folder)).map(|data| report(name, &data)).unwrap_or_else(|e| {
            console::show(format_args!("{name}: WRONG: {}\n", program::quoted(&e.to_string())));
            false
        })
    };
    match there.into_iter().chain(BUILT_IN.map(String::from)).filter(|name| !sound(name)).count() {
        0 => Ok(()),
        bad => Err(CliError::Failed(format!("{bad} data sets are not sound"))),
    }
}

/// An error where a set is not `sound`.
fn demand(name: &str, sound: bool) -> Result<(), CliError> {
    match sound {
        true => Ok(()),
        false => Err(CliError::Failed(format!("data set {name} is not what it should be"))),
    }
}

/// Prints what is found; false if something is wrong.
fn report(name: &str, data: &Dataset) -> bool {
    let mut sound = true;
    let mut notes: Vec<String> = check(data).into_iter().map(|f| f.what).collect();
    if let Some(known) = KNOWN.iter().find(|k| k.name == name) {
        for (what, got, want) in counts(data, known) {
            if got != want {
                sound = false;
                notes.push(format!("WRONG: {got} {what}, {want} are known"));
            }
        }
        // The counts decide: a few features may have been mended.
        let other =
            |what: &str, sum: &str| format!("other {what} than the known ones (sha256 {})", &sum[..16]);
        let (contents, masks) = (contents(data), masks(data));
        if contents != known.contents {
            notes.push(other("edges, features or labels", &contents));
        }
        if data.splits.is_empty() {
            notes.push("no fixed splits; `graph --split random` draws some".into());
        } else if masks != known.splits {
            notes.push(other("splits", &masks));
        }
        if name == "cornell" {
            notes.push(
                "its features and labels are those of Texas, in every copy of this source; see cornell_fixed"
                    .into(),
            );
        }
    }
    let notes = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
    let notes = program::quoted(&notes);
    console::show(format_args!("{name}: {}{notes}\n", if sound { "sound" } else { "not sound" }));
    sound
}

fn counts(data: &Dataset, known: &Known) -> [(&'static str, usize, usize); 4] {
    [
        ("nodes", data.nodes(), known.nodes),
        ("undirected edges", data.edges.len() / 2, known.edges),
        ("features", data.features.cols(), known.features),
        ("classes", data.classes, known.classes),
    ]
}

/// Fetches whatever can be had.
fn fetch_all(out: &Path) -> Result<(), CliError> {
    let got = |name: &str| {
        let fetched = fetch(name, out).map(|(path, data)| {
            tell(&path, &data);
            report(name, &data)
        });
        fetched.unwrap_or_else(|e| {
            console::show(format_args!("{name}: NOT THERE: {}\n", program::quoted(&e.to_string())));
            false
        })
    };
    match KNOWN.iter().filter(|k| !got(k.name)).count() {
        0 => Ok(()),
        bad => Err(CliError::Failed(format!("{bad} of {} data sets could not be got", KNOWN.len()))),
    }
}

/// What has been written, how its source was understood, and what may not be meant.
fn summarise(imported: &Imported) -> Result<(), CliError> {
    tell(&imported.path, &imported.data);
    let row = |(what, value): &(String, String)| vec![what.clone(), value.clone()];
    console::print(plain(&["what", "as understood"], &imported.summary.iter().map(row).collect::<Vec<_>>()))?;
    imported.notes.iter().try_for_each(|note| console::print(format!("note: {}\n", program::quoted(note))))
}

/// One line on what has been written.
fn tell(path: &Path, data: &Dataset) {
    console::show(format_args!(
        "{}: {} nodes, {} undirected edges, {} classes\n",
        path.display(),
        data.nodes(),
        data.edges.len() / 2,
        data.classes
    ));
}
