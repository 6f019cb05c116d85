//! Trained networks that are measured without a training: those that come with the program, and those of runs.

use std::path::Path;

use engine::checkpoint::{Checkpoint, CheckpointError};
use models::sampler::Sampler;
use serde::{Deserialize, Serialize};

use super::SampleConfig;
use crate::config::exact;
use crate::read;
use crate::run::Input;
use crate::run::error::CliError;

/// The file of a run's network.
pub(super) const MODEL: &str = "model.safetensors";
/// Scales and offset in it, where a run measured its coordinates.
pub(super) const SCALES: &str = "scales";
const SCALES_LEN: usize = 5;

/// A trained network with the settings of its training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trained {
    /// The target that it comes with the program for, or the file that it is from.
    name: String,
    bytes: Vec<u8>,
    /// The file, if it does not come with the program.
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
        Ok(Self { name: name.to_string(), bytes: bytes.to_vec(), input: None })
    }

    /// The network of a run, by its folder or its model.safetensors.
    ///
    /// # Errors
    /// The file cannot be read, or holds none.
    pub fn of(path: &Path) -> Result<Self, CliError> {
        let file = if path.is_dir() { path.join(MODEL) } else { path.to_path_buf() };
        let bytes = read::bytes(&file, read::DATA)?;
        let input = Some(Input::new(&file, &bytes));
        Ok(Self { name: file.display().to_string(), bytes, input })
    }

    /// The file that it is, under its name among what a run reads.
    pub(super) fn input(&self) -> Option<(String, Input)> {
        self.input.clone().map(|input| ("network".into(), input))
    }

    fn wrong(&self, e: CheckpointError) -> CliError {
        CliError::usage(format!("{}: {e}", self.name))
    }

    /// The settings of its training; those of the evaluation may be changed afterwards.
    ///
    /// # Errors
    /// It has none, or was trained in coordinates that the run measured, which a network alone does not bring.
    pub fn config(&self) -> Result<SampleConfig, CliError> {
        let checkpoint = Checkpoint::decode(&self.bytes).map_err(|e| self.wrong(e))?;
        let text: String = checkpoint.read_note("config").map_err(|e| self.wrong(e))?;
        match checkpoint.get_vec::<f64>(SCALES, SCALES_LEN) {
            Err(CheckpointError::Missing { .. }) => exact(&text, &self.name),
            _ => Err(self.measured_coordinates()),
        }
    }

    fn measured_coordinates(&self) -> CliError {
        CliError::usage(format!(
            "{}: was trained in coordinates that its run measured; measure it there with --eval-only",
            self.name
        ))
    }

    /// Puts its parameters into a sampler that was built with its settings.
    pub(super) fn load(&self, sampler: &mut dyn Sampler) -> Result<(), CliError> {
        let learned = sampler.learned().ok_or_else(|| self.measured_coordinates())?;
        let found = Checkpoint::decode(&self.bytes).and_then(|c| c.get("ema", learned.set_parameters()));
        found.map_err(|e| self.wrong(e))
    }
}

#[cfg(test)]
mod tests {
    use super::super::presets::preset;
    use super::*;
    use models::sampler::Method;

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
    #[test]
    fn networks_in_coordinates_that_were_measured_are_refused_and_so_is_what_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(MODEL);
        let mut c = Checkpoint::new();
        c.put_vec("ema", &[0f32; 3]);
        c.put_vec(SCALES, &[1.0; SCALES_LEN]);
        c.note("config", "seed = 0");
        std::fs::write(&file, c.encode().unwrap()).unwrap();
        let said = |path: &Path| Trained::of(path).unwrap().config().unwrap_err().to_string();
        assert!(said(dir.path()).contains("coordinates that its run measured"), "{}", said(dir.path()));
        assert_eq!(said(&file), said(dir.path()));
        std::fs::write(&file, b"no network").unwrap();
        assert!(said(&file).starts_with(&file.display().to_string()), "{}", said(&file));
        assert!(Trained::of(&dir.path().join("nothing")).is_err());
    }
}
