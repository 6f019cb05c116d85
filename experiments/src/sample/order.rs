//! What rank 0 tells the others to do: each run that it makes.

use engine::ranks::Ranks;
use serde::{Deserialize, Serialize};

use super::{SampleConfig, Trained};
use crate::config::{exact, to_plain_toml};
use crate::run::error::CliError;

/// A run, as the others have to know it.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// Its settings in TOML.
    config: String,
    /// The trained network that is measured, if one is.
    pub pretrained: Option<Trained>,
    /// Whether it is only measured.
    pub measure_only: bool,
}

impl Order {
    pub fn new(
        config: &SampleConfig,
        pretrained: Option<&Trained>,
        measure_only: bool,
    ) -> Result<Self, CliError> {
        Ok(Self { config: to_plain_toml(config)?, pretrained: pretrained.cloned(), measure_only })
    }

    /// Rank 0 gives it to the others.
    pub fn give(&self, ranks: &dyn Ranks) -> Result<(), CliError> {
        let text =
            serde_json::to_vec(self).map_err(|e| CliError::Failed(format!("an order to ranks: {e}")))?;
        ranks.broadcast(text)?;
        Ok(())
    }

    /// The next one, on another rank.
    pub fn take(ranks: &dyn Ranks) -> Result<Self, CliError> {
        let text = ranks.broadcast(Vec::new())?;
        serde_json::from_slice(&text).map_err(|e| CliError::Failed(format!("an order of rank 0: {e}")))
    }

    pub fn config(&self) -> Result<SampleConfig, CliError> {
        exact(&self.config, "settings of rank 0")
    }
}
