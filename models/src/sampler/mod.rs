//! Samplers: methods that draw samples of a target.
//!
//! A method is a file with its settings (a [`MethodConfig`]) and its [`Sampler`], and one line in `methods!`, by
//! which every program knows it.

pub mod adjoint;
#[cfg(test)]
mod broken_energies;
#[cfg(test)]
mod contradictions;
pub mod dds;
pub(crate) mod fingerprint;
pub mod hmc;
pub mod iwsm;
mod method;
pub mod nuts;
#[cfg(test)]
mod over_ranks;
pub mod smc;

pub use method::{Method, MethodConfig};

use std::sync::Arc;

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::ranks::Ranks;

use crate::diffusion::{DenoisingError, Flow, Populations};
use crate::sampler::iwsm::weight_report::WeightLevel;
use crate::target::{Affine, TargetError};

/// Why a sampler cannot start or continue.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SamplerError {
    /// A setting is outside its range; the text names it.
    #[error("{0}")]
    Settings(String),
    /// The training diverged.
    #[error("{0}")]
    Diverged(String),
    /// The target could not be evaluated.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// An error that says how a checkpoint contradicts itself, unless all of these hold.
pub(crate) fn consistent(claims: &[(bool, String)]) -> Result<(), CheckpointError> {
    match claims.iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(CheckpointError::Contradiction(what.clone())),
        None => Ok(()),
    }
}

/// A figure by name.
pub type Named<T = f64> = (&'static str, T);

/// log Z as a method estimates it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogZEstimate {
    /// The value.
    pub value: f64,
    /// The standard error from the scatter of independent estimates.
    pub scatter: f64,
    /// What all of them may be off by together.
    pub drift: f64,
}

impl LogZEstimate {
    /// The standard error: of scatter and drift together.
    pub fn error(&self) -> f64 {
        self.scatter.hypot(self.drift)
    }
}

/// Diagnostics of a finished sampler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnostics {
    /// Figures, with their standard error if they have one.
    pub figures: Vec<(&'static str, f64, Option<f64>)>,
    /// Lists, such as one number for each rung of a ladder.
    pub lists: Vec<Named<Vec<f64>>>,
    /// Energies of groups of chains, whose distributions must agree.
    pub chains: Vec<Named<Vec<f64>>>,
    /// log Z, if the method estimates it.
    pub log_z: Option<LogZEstimate>,
    /// One line for each convergence check that failed.
    pub failures: Vec<String>,
    /// What to do where one failed.
    pub remedy: String,
}

/// A running sampler of a target: it learns or moves in steps, and draws samples.
///
/// All random numbers are functions of the seed and of the step, so that a sampler that is restored from a
/// checkpoint continues bit-identically.
pub trait Sampler: Send {
    /// Number of steps done.
    fn done(&self) -> u64;

    /// Total number of steps.
    fn total(&self) -> u64;

    /// Shares the work with other ranks from here on, as far as the method can. Steps, draws and what the learned model
    /// is asked for are then collective: all ranks make the same calls, outside of parallel loops, and have the same
    /// results. A method that cannot share does all of its work on every rank.
    fn share(&mut self, _ranks: Arc<dyn Ranks>) {}

    /// One step.
    ///
    /// # Errors
    /// If the target cannot be evaluated, or the training diverges.
    fn step(&mut self) -> Result<(), SamplerError>;

    /// Figures of the last step; the learning curve has their means over steps.
    fn step_figures(&self) -> Vec<Named>;

    /// Figures of the current state, for the learning curve.
    fn state_figures(&self) -> Vec<Named> {
        Vec::new()
    }

    /// Additional text of the progress line.
    fn note(&self) -> String {
        String::new()
    }

    /// Whether samples can be drawn yet.
    fn drawable(&self) -> bool {
        true
    }

    /// Draws `n` samples (columns); a learned sampler takes `steps` steps of its reverse process for each, and the
    /// random numbers of `key`.
    ///
    /// # Errors
    /// If there are fewer samples than `n`.
    fn draw(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<Vec<f64>, SamplerError>;

    /// The number of Markov chains whose states [`draw`](Self::draw) gives in turn: sample k is a state of chain k modulo
    /// this. None for samples that no chain has made.
    fn chains(&self) -> Option<usize> {
        None
    }

    /// The state that changes from step to step.
    fn checkpoint(&self) -> Checkpoint;

    /// Restores a saved state.
    ///
    /// # Errors
    /// If the checkpoint is not one of this method with these settings, or its counters do not belong to one state;
    /// the sampler's state is then undefined.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError>;

    /// Diagnostics at the end of a run.
    fn diagnostics(&self) -> Diagnostics;

    /// Energy evaluations so far.
    fn evaluations(&self) -> u64;

    /// How many of them came with the gradient.
    fn gradients(&self) -> u64 {
        self.evaluations()
    }

    /// The learned model, if there is one.
    fn learned(&mut self) -> Option<&mut dyn Learned> {
        None
    }
}

/// Coordinates in which a model was learned, where they are not the target's own.
#[derive(Clone, Copy, Debug)]
pub struct Coordinates<'a> {
    /// x = m + L z.
    pub affine: &'a Affine,
    /// The network's sigma_data, mode_scale, sigma_min and sigma_max as measured in them.
    pub scales: [f64; 4],
    /// What the training took off log p.
    pub offset: f64,
}

/// A sampler with a learned model of the target: its density and its importance weights.
pub trait Learned {
    /// The probability flow of the model, in `steps` steps and in its [`coordinates`](Self::coordinates).
    fn flow(&self, steps: usize) -> Flow<'_, f32>;

    /// Coordinates in which the model is learned, where they are not the target's own.
    fn coordinates(&self) -> Option<Coordinates<'_>> {
        None
    }

    /// `n` samples of the reverse process in `steps` steps, in the target's coordinates, with the logarithms of their
    /// path weights.
    ///
    /// # Errors
    /// Where the target cannot be evaluated, or no sample has a finite energy.
    fn weighted(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<(Vec<f64>, Vec<f64>), TargetError>;

    /// `n` samples of the same process with the least variance of each step, that of a step whose x_0 is known, in the
    /// target's coordinates: without weights, but nearer to the target's energies where a network has errors.
    ///
    /// # Errors
    /// Failures of ranks.
    fn of_least_variance(&self, n: usize, steps: usize, key: (u64, u64)) -> Result<Vec<f64>, TargetError>;

    /// Moves states (columns, in the model's coordinates) by paths of `steps` steps, and leaves exp(-E) invariant
    /// ([`ReverseProcess::jump`](crate::diffusion::ReverseProcess::jump)); returns the mean acceptance. Two energies for
    /// each state.
    ///
    /// # Errors
    /// Where the target cannot be evaluated.
    fn jump(&self, x: &mut [f64], steps: usize, key: (u64, u64)) -> Result<f64, TargetError>;

    /// `count` independent populations of `size` samples by sequential Monte Carlo along the reverse process in `steps`
    /// steps, in the target's coordinates ([`ReverseProcess::populations`](crate::diffusion::ReverseProcess::populations)).
    ///
    /// # Errors
    /// Where the target cannot be evaluated, or no sample has a finite energy.
    fn populations(
        &self,
        count_size: (usize, usize),
        steps: usize,
        key: (u64, u64),
    ) -> Result<Populations<f64>, TargetError>;

    /// Chooses the variances of the reverse steps by the weights of `n` paths of `steps` steps, with the random numbers
    /// of `seed`, unless the method has fixed ones; returns the number of energies that it took.
    ///
    /// # Errors
    /// Where the target cannot be evaluated, or no sample has a finite energy.
    fn tune(&mut self, n: usize, steps: usize, seed: u64) -> Result<u64, TargetError>;

    /// Diagnostics of the importance weights of noised states at each of `levels` noise levels, from `n` states each;
    /// none for a method that has no such weights.
    ///
    /// # Errors
    /// Where the target cannot be evaluated.
    fn weight_levels(&mut self, levels: usize, n: usize) -> Result<Vec<WeightLevel>, TargetError>;

    /// The width of one mode in the model's coordinates, the scale of the first steps of Markov chains.
    fn mode_scale(&self) -> f64;

    /// Mean acceptance of the moves of buffer states, if there are moves.
    fn move_acceptance(&self) -> Option<f64>;

    /// The parameters with which samples are drawn.
    fn parameters(&self) -> &[f32];

    /// The same, to be replaced.
    fn set_parameters(&mut self) -> &mut [f32];

    /// The errors of the denoiser, from which the variances of reverse steps and the places of their levels follow.
    fn denoising_error(&self) -> &DenoisingError;
}
