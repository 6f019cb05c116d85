//! What to run: networks with all their settings, data, depths.

use std::collections::BTreeMap;
use std::path::Path;

use models::gnn::equations::{Form, Kernel, Mobility};
use models::gnn::networks::settings::Model;
use models::gnn::oversmoothing::evolve::{EVOLVING, READ};
use models::gnn::{Dataset, Normalisation};
use serde::{Deserialize, Serialize};

use crate::classify::{DataChoice, Edges, GraphConfig, SplitKind, preset, splits};
use crate::config::{leaves, resolve, to_table};
use crate::datasets::load;
use crate::failure::Failure;

/// The name of the data that need no training.
pub const GRID: &str = "grid";

/// Everything that a run depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seed of every random number.
    pub seed: u64,
    /// A data set, or [`GRID`]: untrained networks on a 10 x 10 grid.
    pub data: String,
    /// Layers on the grid.
    pub layers: usize,
    /// Depths of trained networks: layers, or the integration time in steps of one.
    pub depths: Vec<usize>,
    /// Names of the networks, in the order in which they run.
    pub networks: Vec<String>,
    /// The settings of each.
    pub settings: BTreeMap<String, GraphConfig>,
}

/// What a user asks for; what is left out is chosen.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Seed; wins over the file and the settings.
    pub seed: Option<u64>,
    /// Data set.
    pub data: Option<&'a str>,
    /// Layers on the grid.
    pub layers: usize,
    /// Depths.
    pub depths: &'a [usize],
    /// Networks; none means a choice of them.
    pub networks: &'a [String],
    /// File of settings for all of them.
    pub file: Option<&'a Path>,
    /// Settings that win over the file.
    pub sets: &'a [String],
}

impl Plan {
    /// The plan of a request; an error if a network or a setting is unknown, or has no effect.
    pub fn new(r: &Request<'_>) -> Result<Self, Failure> {
        let data = r.data.unwrap_or(GRID);
        let all: &[&str] = if data == GRID { &EVOLVING } else { &["grade", "grand", "gcn", "gcnii"] };
        let networks: Vec<String> = if r.networks.is_empty() {
            all.iter().map(|n| n.to_string()).collect()
        } else {
            r.networks.to_vec()
        };
        let mut sets = r.sets.to_vec();
        sets.extend(r.seed.map(|s| format!("seed={s}")));
        let mut settings = BTreeMap::<String, GraphConfig>::new();
        for name in &networks {
            if data == GRID && !EVOLVING.contains(&name.as_str()) {
                return Err(Failure::usage(format!(
                    "--models {name}: on the grid there are {}",
                    EVOLVING.join(", ")
                )));
            }
            let base = if data == GRID { on_grid(name)? } else { preset(data, name, None)? };
            let config = resolve(&base, r.file, &sets)?;
            check_effect(&config, &base, data == GRID)?;
            settings.insert(name.clone(), config);
        }
        let seed = settings.values().next().map_or(0, |c| c.seed);
        let depths = r.depths.to_vec();
        Ok(Self { seed, data: data.into(), layers: r.layers, depths, networks, settings })
    }

    /// The data to train on; none for the grid.
    pub fn load(&self, data_dir: Option<&Path>) -> Result<Option<Dataset>, Failure> {
        if self.data == GRID {
            return Ok(None);
        }
        let data = load(&self.data, data_dir)?;
        if data.splits.is_empty() {
            let name = &data.name;
            return Err(Failure::usage(format!("data set {name} has no fixed split; see `graph --split`")));
        }
        // What `graph` checks is checked here too, of the first split; whatever a preset says, edges are
        // undirected here.
        let (edges, split) = (Edges::Undirected, SplitKind::Fixed);
        let checked = |data, config: &GraphConfig| {
            let choice = DataChoice { edges, split, splits: 1, ..config.data.clone() };
            splits(data, &choice).map(|(data, _)| data)
        };
        self.settings.values().try_fold(data, checked).map(Some)
    }

    /// Every network at every depth; none on the grid.
    pub(super) fn jobs(&self) -> impl Iterator<Item = (&str, usize)> {
        let depths: &[usize] = if self.data == GRID { &[] } else { &self.depths };
        self.networks.iter().flat_map(move |name| depths.iter().map(move |d| (name.as_str(), *d)))
    }

    /// A network of that depth.
    pub(super) fn model(&self, name: &str, depth: usize) -> Model {
        Model { layers: depth, time: depth as f64, step: 1.0, ..self.settings[name].model.clone() }
    }

    /// An error if the plan does not hold together, or a network does not go to one of its depths.
    pub fn check(&self) -> Result<(), Failure> {
        let own = |name: &String| self.settings.get(name).is_some_and(|c| c.model.name == *name);
        if let Some(name) = self.networks.iter().find(|n| !own(n)) {
            return Err(Failure::usage(format!(
                "config.toml has no [settings.{name}] with the model {name}; start a new run"
            )));
        }
        self.settings.values().try_for_each(GraphConfig::check)?;
        let problem = |(name, depth)| self.model(name, depth).problem().map(|p| (name, depth, p));
        self.jobs().find_map(problem).map_or(Ok(()), |(name, depth, problem)| {
            Err(Failure::usage(format!("{name} at depth {depth}: {problem}")))
        })
    }
}

/// An error if a setting was changed that has no effect.
fn check_effect(config: &GraphConfig, base: &GraphConfig, on_grid: bool) -> Result<(), Failure> {
    let before = leaves(to_table(base)?, "");
    let after = leaves(to_table(config)?, "");
    let changed = after.iter().zip(&before).filter(|(a, b)| a != b).map(|(a, _)| a);
    let mut useless = changed.filter_map(|(key, value)| Some((key, value, instead(key, on_grid)?)));
    useless.next().map_or(Ok(()), |(key, value, instead)| {
        Err(Failure::usage(format!("{key} = {value} has no effect here: {instead}")))
    })
}

/// For a setting without effect: what has one, or why it has none.
fn instead(key: &str, on_grid: bool) -> Option<&'static str> {
    match key.split_once('.')? {
        ("model", "name") => Some("name the networks with --models"),
        ("data", "name") => Some("name the data with --data"),
        ("data", "metric") if !on_grid => None,
        ("data", _) if !on_grid => Some("the first fixed split is trained on once, with undirected edges"),
        ("model", "layers" | "time" | "step") if !on_grid => Some("a depth of --depths sets it"),
        _ if !on_grid => None,
        ("model", "layers" | "time") => Some("give --layers"),
        ("model", key) if READ.contains(&key) => None,
        ("model", _) => Some("networks on the grid are without it"),
        _ => Some("networks on the grid are not trained; give --data"),
    }
}

/// GRADE as it is shown on the grid: the paper form with upwind mobility on a symmetric graph conserves mass
/// and positivity, so that states stay bounded; the logarithmic kernel with eps < 1 attracts what is close.
fn on_grid(name: &str) -> Result<GraphConfig, Failure> {
    let mut config = preset(GRID, name, None)?;
    let m = &mut config.model;
    m.step = 1.0;
    if name == "grade" {
        (m.form, m.kernel, m.mobility) = (Form::Paper, Kernel::Log, Mobility::Upwind);
        (m.normalisation, m.log_eps) = (Normalisation::Symmetric, 0.1);
        (m.diffusion, m.aggregation) = (0.25, 0.25);
    }
    Ok(config)
}
