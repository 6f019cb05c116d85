//! Samplers: what turns a target into samples.
//!
//! A method is a file with its settings (a [`MethodConfig`]) and its [`Sampler`], and one line in [`methods!`], by
//! which every program knows it.

pub mod iwsm;
mod method;

pub use method::{Method, MethodConfig};

use engine::checkpoint::{Checkpoint, CheckpointError};

use crate::diffusion::Flow;
use crate::sampler::iwsm::weighting::WeightLevel;
use crate::target::{Target, TargetError};

/// Why a sampler cannot begin or go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SamplerError {
    /// A setting is outside its range; the text names it.
    #[error("{0}")]
    Settings(String),
    /// The training has left the finite numbers.
    #[error("{0}")]
    Diverged(String),
    /// The target could not be evaluated.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// A figure by name.
pub type Named<T = f64> = (&'static str, T);

/// What a finished sampler says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnostics {
    /// Figures, some with their standard error.
    pub figures: Vec<(&'static str, f64, Option<f64>)>,
    /// Lists: one number for each rung of a ladder, say.
    pub lists: Vec<Named<Vec<f64>>>,
    /// Energies of groups of chains that must agree.
    pub chains: Vec<Named<Vec<f64>>>,
    /// log Z with its standard error, if the method estimates it.
    pub log_z: Option<(f64, f64)>,
    /// One line for each check that failed: its samples cannot be trusted.
    pub failures: Vec<String>,
}

/// A method at work on a target: it learns or moves in steps, and gives samples.
///
/// All random numbers are functions of the seed and of the step, so that a sampler that is restored from a
/// checkpoint goes on bit for bit.
pub trait Sampler: Send {
    /// Steps done.
    fn done(&self) -> u64;

    /// Steps in all.
    fn total(&self) -> u64;

    /// One step.
    ///
    /// # Errors
    /// Where the target cannot be evaluated, or the training diverges.
    fn step(&mut self) -> Result<(), SamplerError>;

    /// Figures of the last step; the learning curve holds their means over steps.
    fn step_figures(&self) -> Vec<Named>;

    /// Figures of the present state, for the learning curve.
    fn state_figures(&self) -> Vec<Named> {
        Vec::new()
    }

    /// What the progress line shows besides.
    fn note(&self) -> String {
        String::new()
    }

    /// Draws `n` samples (columns); a learned sampler takes `steps` steps of its reverse process for each, and the
    /// random numbers of `key`.
    ///
    /// # Errors
    /// If there are fewer samples than `n`.
    fn draw(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<Vec<f64>, SamplerError>;

    /// All that changes from step to step.
    fn checkpoint(&self) -> Checkpoint;

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// If the checkpoint is not one of this method with these settings; the sampler is then undefined.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError>;

    /// What the sampler says of itself in the end.
    fn diagnostics(&self) -> Diagnostics;

    /// Energies evaluated so far, each with its gradient.
    fn evaluations(&self) -> u64;

    /// The learned density behind the samples, if there is one.
    fn learned(&mut self) -> Option<&mut dyn Learned> {
        None
    }
}

/// A sampler that learns a model of the target: what its density and its weights say.
pub trait Learned {
    /// The probability flow of the model, in `steps` steps.
    fn flow(&self, steps: usize) -> Flow<'_, f32>;

    /// `n` samples of the reverse process in `steps` steps with the logarithms of their path weights towards
    /// `target`.
    ///
    /// # Errors
    /// Where the target cannot be evaluated.
    fn weighted(
        &self,
        target: &dyn Target<f32>,
        n: usize,
        steps: usize,
        key: (u64, u64),
    ) -> Result<(Vec<f32>, Vec<f64>), TargetError>;

    /// How good the importance weights are at each of `levels` noise levels, from `n` states each.
    ///
    /// # Errors
    /// Where the target cannot be evaluated.
    fn weight_levels(&mut self, levels: usize, n: usize) -> Result<Vec<WeightLevel>, TargetError>;

    /// The width of one mode, the scale of first steps of Markov chains.
    fn mode_scale(&self) -> f64;

    /// Whether states of a buffer move on the energy, with which acceptance.
    fn move_acceptance(&self) -> Option<f64>;

    /// The parameters that samples are drawn with.
    fn parameters(&self) -> &[f32];

    /// Replaces them.
    fn set_parameters(&mut self) -> &mut [f32];
}
