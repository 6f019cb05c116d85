//! Trained models that are measured without a training: those that come with the program, and those of runs.

use std::path::Path;

use engine::checkpoint::{Checkpoint, CheckpointError};
use models::sampler::Sampler;
use serde::{Deserialize, Serialize};

use super::SampleConfig;
use super::guide::finished;
use crate::config::{exact, to_plain_toml};
use crate::read;
use crate::run::error::CliError;
use crate::run::{CHECKPOINT, Input};

/// A trained model with the settings of its training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    /// The target that it comes with the program for, or the file that it is from.
    name: String,
    /// In TOML.
    config: String,
    /// The seed of its training.
    seed: u64,
    /// A checkpoint: of the parameters of a network alone, or of a whole training.
    bytes: Vec<u8>,
    /// The file of a whole training.
    input: Option<Input>,
}

macro_rules! shipped_networks {
    ($($name:literal),+) => {
        const SHIPPED: &[(&str, &[u8])] =
            &[$(($name, include_bytes!(concat!("../../assets/pretrained/", $name, ".safetensors")))),+];
    };
}

shipped_networks!["dw4", "lj13", "lj55"];

impl Trained {
    /// The network of a target that comes with the program.
    ///
    /// # Errors
    /// There is none.
    pub fn shipped(target: &str) -> Result<Self, CliError> {
        let found = SHIPPED.iter().find(|(name, _)| *name == target);
        let (name, bytes) = found.ok_or_else(|| {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            CliError::usage(format!(
                "no trained network for {target} comes with the program; there are {}; train one, or name the folder of a run behind --pretrained",
                names.join(", ")
            ))
        })?;
        let wrong = |e: CheckpointError| CliError::usage(format!("{name}: {e}"));
        let config: String = Checkpoint::decode(bytes).and_then(|c| c.read_note("config")).map_err(wrong)?;
        let seed = exact::<SampleConfig>(&config, name)?.seed;
        Ok(Self { name: name.to_string(), config, seed, bytes: bytes.to_vec(), input: None })
    }

    /// The model of a run.
    ///
    /// # Errors
    /// The folder holds no finished training.
    pub fn of(run: &Path) -> Result<Self, CliError> {
        let wrong = |why: String| CliError::usage(format!("--pretrained {}: {why}", run.display()));
        let config = finished(run).map_err(wrong)?;
        let file = run.join(CHECKPOINT);
        let bytes = read::bytes(&file, read::DATA)?;
        let input = Some(Input::new(&file, &bytes));
        let (name, seed) = (file.display().to_string(), config.seed);
        Ok(Self { name, config: to_plain_toml(&config)?, seed, bytes, input })
    }

    /// The file that it is, under its name among what a run reads.
    pub(super) fn input(&self) -> Option<(String, Input)> {
        self.input.clone().map(|input| ("trained model".into(), input))
    }

    /// The seed of its training.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The settings of its training; those of the evaluation may be changed afterwards.
    ///
    /// # Errors
    /// They are those of another version of the program.
    pub fn config(&self) -> Result<SampleConfig, CliError> {
        exact(&self.config, &self.name)
    }

    /// Puts it into a sampler that was built with its settings and its seed.
    pub(super) fn load(&self, sampler: &mut dyn Sampler) -> Result<(), CliError> {
        let whole = Checkpoint::decode(&self.bytes);
        let loaded = whole.and_then(|c| match (&self.input, sampler.learned()) {
            (None, Some(learned)) => c.get("ema", learned.set_parameters()),
            _ => sampler.restore(&c),
        });
        loaded.map_err(|e| CliError::usage(format!("{}: {e}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use models::sampler::Method;

    use super::super::presets::preset;
    use super::*;

    #[test]
    fn networks_that_ship_bring_their_own_settings() {
        for (name, steps) in [("dw4", 14_000), ("lj13", 6000), ("lj55", 8000)] {
            let config = Trained::shipped(name).unwrap().config().unwrap();
            let preset = preset(&config.target, None, false).unwrap();
            let (Method::Idem(mine), Method::Idem(theirs)) = (&config.method, &preset.method) else {
                panic!()
            };
            assert_eq!((config.target.name.as_str(), mine.0.train.steps), (name, steps));
            assert_eq!(mine.0.network, theirs.0.network);
            config.check(&*config.target().unwrap()).unwrap();
        }
    }
}
