//! What to run: networks with all their settings, data, depths.

use std::collections::BTreeMap;
use std::path::Path;

use models::graph::dynamics::{Form, Kernel, Mobility};
use models::graph::evolve::EVOLVING;
use models::graph::{Dataset, Normalisation};
use serde::{Deserialize, Serialize};

use crate::config::resolve;
use crate::failure::Failure;
use crate::graph::{GraphConfig, preset};
use crate::graph_data::load;

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
    /// Seed.
    pub seed: u64,
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
    /// The plan of a request; an error if a network or a setting is unknown.
    pub fn new(r: &Request<'_>) -> Result<Self, Failure> {
        let data = r.data.unwrap_or(GRID);
        let all: &[&str] = if data == GRID { &EVOLVING } else { &["grade", "grand", "gcn", "gcnii"] };
        let networks: Vec<String> = if r.networks.is_empty() {
            all.iter().map(|n| n.to_string()).collect()
        } else {
            r.networks.to_vec()
        };
        let mut settings = BTreeMap::new();
        for name in &networks {
            if data == GRID && !EVOLVING.contains(&name.as_str()) {
                return Err(Failure::usage(format!(
                    "--models {name}: on the grid there are {}",
                    EVOLVING.join(", ")
                )));
            }
            let base = if data == GRID { on_grid(name)? } else { preset(data, name, None)? };
            let config: GraphConfig = resolve(&base, r.file, r.sets)?;
            config.check()?;
            settings.insert(name.clone(), config);
        }
        let (seed, depths) = (r.seed, r.depths.to_vec());
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
        Ok(Some(data))
    }

    /// An error if a plan that was read does not hold together.
    pub fn check(&self) -> Result<(), Failure> {
        match self.networks.iter().find(|n| !self.settings.contains_key(*n)) {
            Some(name) => Err(Failure::usage(format!("config.toml has no [settings.{name}]"))),
            None => self.settings.values().try_for_each(GraphConfig::check),
        }
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
