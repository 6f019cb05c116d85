//! Trained networks of a run on nodes that they have not seen: another graph with the same features and classes.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use engine::Params;
use engine::checkpoint::{Checkpoint, CheckpointError, write_atomic};
use models::gnn::training::classification::{predicted, probabilities};
use models::gnn::training::confusion::{Confusion, majority};
use models::gnn::training::train::states;
use models::gnn::{Dataset, Split};

use super::config::{Edges, drawn_splits, used};
use super::outputs::{checkpoint_name, predictions};
use super::scale::Scale;
use super::sources::load_again;
use super::{Context, GraphConfig, batch, run, task};
use crate::config::load_exact;
use crate::datasets::load_sourced;
use crate::run::error::CliError;
use crate::run::{RunFolder, program};

/// Whose networks predict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Networks {
    /// That of one split.
    Split(usize),
    /// Those of all splits: the mean of their probabilities.
    All,
}

impl FromStr for Networks {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(split)) => Ok(Self::Split(split)),
            _ => Err("wants the number of a split, or all"),
        }
    }
}

/// Predicts the classes of the nodes of the data set `name` with networks of the run in a folder. Writes a table to
/// `out`, or to predicted-NAME.csv in the run's folder; says where, and how good the predictions are where there are
/// labels.
pub fn predict(
    path: &Path,
    name: &str,
    networks: Networks,
    out: Option<&Path>,
    with: &Context<'_>,
) -> Result<String, CliError> {
    if let Some(out) = out.filter(|out| out.symlink_metadata().is_ok()) {
        return Err(CliError::usage(format!("{}: is there already; choose another --out", out.display())));
    }
    let folder = trained(path)?;
    folder.compare_versions(with.quiet)?;
    let config: GraphConfig = load_exact(&folder.file("config.toml"))?;
    config.check()?;
    let data = load_sourced(name, with.data_dir)?.data;
    if config.data.edges != Edges::Undirected && data.raw_edges.is_none() {
        return Err(CliError::usage(format!(
            "data set {name}: has no directions of its edges; the run was trained with directed ones (data.edges)"
        )));
    }
    // Features are standardised by the figures of those that the network was trained on.
    let like = match config.data.scale {
        Scale::Standard => {
            Some(drawn_splits(load_again(&config.data.name, &folder, with.data_dir)?, &config.data)?.0)
        }
        Scale::None | Scale::Row => None,
    };
    like.as_ref().map_or(Ok(()), |like| check_width(&data, like.features.cols()))?;
    let mut data = used(data, &config.data, like.as_ref())?;
    let splits = match networks {
        Networks::Split(split) => split..split + 1,
        Networks::All => 0..all(&folder)?,
    };
    let (count, mut mean) = (splits.len(), Vec::new());
    for split in splits {
        let checkpoint = checkpoint(&folder, split)?;
        fit_for(&checkpoint, &folder, split, &mut data)?;
        let own = of(&checkpoint, &folder, split, &config, &data)?;
        mean.resize(own.len(), 0.0);
        mean.iter_mut().zip(own).for_each(|(sum, p)| *sum += p / count as f64);
    }
    let chosen: Vec<u32> = mean.chunks_exact(data.classes).map(predicted).collect();
    let table = predictions(&data, None, &chosen, &mean)?;
    let written = match out {
        Some(out) => {
            write_atomic(out, &table).map(|()| out.to_path_buf()).map_err(|e| CliError::io(out, &e))?
        }
        None => {
            let file = format!("predicted-{}.csv", data.name);
            folder.write(&file, &table)?;
            folder.file(&file)
        }
    };
    Ok(format!("{}\n{}\n", judged(&config, &data, &chosen, &mean), written.display()))
}

/// The folder of a run, or of the run of what a search found.
fn trained(path: &Path) -> Result<RunFolder, CliError> {
    let folder = RunFolder::open_any(path)?;
    let at = folder.path().display();
    match folder.kind()?.as_str() {
        run::KIND => Ok(folder),
        task::KIND => folder.open_part(task::BEST, run::KIND)?.ok_or_else(|| {
            let resume = resume(&folder);
            CliError::usage(format!("{at}: its search has not ended; first run: {resume}"))
        }),
        batch::KIND => Err(CliError::usage(format!(
            "{at}: holds runs on several data sets; name the folder of one of them within"
        ))),
        other => Err(CliError::usage(format!("{at}: holds a {other}, not a {}", run::KIND))),
    }
}

/// The checkpoint of a split.
fn checkpoint(folder: &RunFolder, split: usize) -> Result<Checkpoint, CliError> {
    let path = folder.file(&checkpoint_name(split));
    if !path.is_file() {
        let at = folder.path().display();
        return Err(CliError::usage(match kept(folder) {
            0 => format!("{at}: has no checkpoint yet; first run: {}", resume(folder)),
            n => {
                format!("{at}: has no checkpoint of split {split}; there are those of splits 0 to {}", n - 1)
            }
        }));
    }
    Checkpoint::load(&path).map_err(|e| wrong(folder, split, e))
}

/// The command that goes on with a run.
fn resume(folder: &RunFolder) -> String {
    program::line(format_args!("graph --resume {}", folder.path().display()))
}

/// How many splits have checkpoints, from the first on.
fn kept(folder: &RunFolder) -> usize {
    (0..).take_while(|k| folder.file(&checkpoint_name(*k)).is_file()).count()
}

/// The number of splits, each of which must have its checkpoint.
fn all(folder: &RunFolder) -> Result<usize, CliError> {
    let (at, kept) = (folder.path().display(), kept(folder));
    // metrics.json is written when every split is done.
    let metrics = folder.read("metrics.json").ok().and_then(|text| serde_json::from_slice(&text).ok());
    let splits = metrics.and_then(|metrics: serde_json::Value| Some(metrics["per_split"].as_array()?.len()));
    match splits {
        // That of the first split is missed.
        _ if kept == 0 => Ok(1),
        Some(splits) if splits == kept => Ok(kept),
        Some(splits) => Err(CliError::usage(format!(
            "{at}: kept checkpoints of {kept} of {splits} splits (data.keep); give --predict-split 0"
        ))),
        None => {
            let resume = resume(folder);
            Err(CliError::usage(format!("{at}: not every split is trained; first run: {resume}")))
        }
    }
}

fn wrong(folder: &RunFolder, split: usize, e: CheckpointError) -> CliError {
    CliError::usage(format!("{}: {e}", folder.file(&checkpoint_name(split)).display()))
}

/// An error if a network cannot be given the data; their classes are renumbered as the network has them.
fn fit_for(
    checkpoint: &Checkpoint,
    folder: &RunFolder,
    split: usize,
    data: &mut Dataset,
) -> Result<(), CliError> {
    let wrong = |e| wrong(folder, split, e);
    let features: usize = checkpoint.read_note("features").map_err(wrong)?;
    let classes: usize = checkpoint.read_note("classes").map_err(wrong)?;
    let weighted: bool = checkpoint.read_note("weighted").map_err(wrong)?;
    let names: String = checkpoint.read_note("class_names").map_err(wrong)?;
    let names: Vec<String> = serde_json::from_str(&names)
        .map_err(|e| CliError::usage(format!("{}: class_names: {e}", folder.path().display())))?;
    let refused = |what: String| Err(CliError::usage(format!("data set {}: {what}", data.name)));
    check_width(data, features)?;
    if weighted == data.edge_weights.is_empty() {
        let (has, had) = if weighted { ("no weights", "with") } else { ("weights", "without") };
        let remedy = if weighted { "give it weights" } else { "import it with --ignore-weights" };
        return refused(format!("has {has} of edges; the run was trained {had} them: {remedy}"));
    }
    let has_labels = data.unlabelled.len() < data.nodes();
    if !has_labels {
        data.labels.fill(0);
    } else {
        // By name, which is the number where a class has no other: not every class need be here.
        let name = |k: usize| names.get(k).cloned().unwrap_or_else(|| k.to_string());
        let known: Vec<String> = (0..classes).map(name).collect();
        let codes: HashMap<&str, u32> = known.iter().map(String::as_str).zip(0..).collect();
        let mut code_of = Vec::new();
        for class in 0..data.classes {
            let name = data.class_name(class);
            match codes.get(name.as_ref()) {
                Some(code) => code_of.push(*code),
                None => {
                    let all = known.join(", ");
                    return refused(format!("has a class {name}; the run was trained on {all}"));
                }
            }
        }
        data.labels.iter_mut().for_each(|label| *label = code_of[*label as usize]);
    }
    (data.classes, data.class_names) = (classes, names);
    Ok(())
}

fn check_width(data: &Dataset, trained: usize) -> Result<(), CliError> {
    let (name, own) = (&data.name, data.features.cols());
    match own == trained {
        true => Ok(()),
        false => Err(CliError::usage(format!(
            "data set {name}: has {own} features a node; the run was trained on {trained}"
        ))),
    }
}

/// The probabilities of all nodes by the network of one split.
fn of(
    checkpoint: &Checkpoint,
    folder: &RunFolder,
    split: usize,
    config: &GraphConfig,
    data: &Dataset,
) -> Result<Vec<f64>, CliError> {
    let seed: u64 = checkpoint.read_note("seed").map_err(|e| wrong(folder, split, e))?;
    let mut params = Params::<f32>::new();
    config.model.build::<f32>(data, &mut params, seed).map_err(CliError::usage)?;
    let entries: Vec<_> = params.entries().map(|(name, id)| (name.to_string(), id)).collect();
    for (name, id) in entries {
        checkpoint.get(&name, &mut params.values_mut()[id.range()]).map_err(|e| wrong(folder, split, e))?;
    }
    let [_, _, logits] =
        states(data, &config.model, &params, seed).map_err(|e| CliError::Diverged(e.to_string()))?;
    Ok(probabilities(&logits, data.classes))
}

/// How good predictions are on the nodes that are labelled.
fn judged(config: &GraphConfig, data: &Dataset, chosen: &[u32], probabilities: &[f64]) -> String {
    let (metric, labelled) = (config.data.metric, data.labelled());
    let nodes: Vec<u32> = (0..data.nodes() as u32).filter(|i| labelled[*i as usize]).collect();
    let count = format!("{}: {} nodes", data.name, data.nodes());
    if nodes.is_empty() {
        return format!("{count} without labels");
    }
    let pairs = nodes.iter().map(|i| (data.labels[*i as usize], chosen[*i as usize]));
    let confusion = Confusion::of(pairs);
    let whole = Split { test: nodes.clone(), validation: nodes.clone(), ..Split::default() };
    let figure = match metric.problem(&data.labels, &whole) {
        None => metric.of(probabilities, data.classes, &data.labels, &nodes).ok(),
        Some(_) => None,
    };
    let percent = |v: f64| format!("{:.2} %", 100.0 * v);
    format!(
        "{count}, {} of them labelled: {} {}, macro-F1 {}, largest class {}",
        nodes.len(),
        metric.name(),
        figure.map_or("not to be measured on one class".into(), percent),
        percent(confusion.macro_f1()),
        percent(majority(&data.labels, &nodes))
    )
}
