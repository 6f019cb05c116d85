//! Walkers on a target whose states are the samples: dispersed starts, recorded states and energies, and what is said of
//! them in the end.

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::rng::Stream;

use super::convergence;
use super::recorded::{self, STARTS};
use crate::memory::Part;
use crate::metrics::{mean, sd};
use crate::sampler::{Diagnostics, SamplerError};
use crate::target::{Target, TargetError};

/// How many walkers there are and what is kept of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Independent walkers.
    pub walkers: usize,
    /// Steps before recording begins.
    pub warm_up: usize,
    /// Steps from one recorded state to the next.
    pub thin: usize,
}

impl Shape {
    /// What grows with the settings where `samples` samples in `d` dimensions are drawn.
    pub fn memory(self, d: usize, samples: usize) -> Vec<Part> {
        let (number, each) = (size_of::<f64>() as f64, samples.div_ceil(self.walkers.max(1)) as f64);
        let (walkers, thin) = (self.walkers as f64, self.thin as f64);
        vec![
            (format!("sampler.walkers = {walkers} in {d} dimensions"), 4.0 * number * walkers * d as f64),
            (format!("{samples} samples in {d} dimensions"), number * each * walkers * d as f64),
            (
                format!("sampler.thin = {thin} for {samples} samples: their energies"),
                2.0 * number * each * walkers * thin,
            ),
        ]
    }

    /// Steps until `samples` are recorded.
    pub fn steps(self, samples: usize) -> u64 {
        let rounds = samples.div_ceil(self.walkers.max(1)) as u64;
        (self.warm_up as u64).saturating_add(rounds.saturating_mul(self.thin as u64))
    }
}

/// The walkers and what is recorded of them.
pub(crate) struct Chains {
    shape: Shape,
    dim: usize,
    /// States as columns.
    pub x: Vec<f64>,
    /// Recorded states, and one chain of energies for each walker.
    states: Vec<f64>,
    energies: Vec<Vec<f64>>,
}

impl Chains {
    /// Walkers that begin in Gaussians of half and of one and a half times the scale, in turn, each at a state of finite
    /// energy. `name` and `seed` are those of the random numbers.
    pub fn dispersed(
        target: &dyn Target<f64>,
        shape: Shape,
        scale: f64,
        (seed, name): (u64, &str),
    ) -> Result<Self, TargetError> {
        let dim = target.dim();
        let draw = |round: u64| {
            let mut x = vec![0.0; shape.walkers * dim];
            target.geometry().fill_normal(&mut Stream::new(seed, name, round, 0), &mut x);
            for (l, x) in x.chunks_exact_mut(dim).enumerate() {
                x.iter_mut().for_each(|x| *x *= scale * STARTS[l % 2]);
            }
            x
        };
        let x = starts(target, draw)?;
        Ok(Self { shape, dim, x, states: Vec::new(), energies: vec![Vec::new(); shape.walkers] })
    }

    /// Records the energies of the states, and every `thin` times the states.
    pub fn record(&mut self, energies: &[f64]) {
        self.energies.iter_mut().zip(energies).for_each(|(chain, e)| chain.push(*e));
        if self.energies[0].len().is_multiple_of(self.shape.thin) {
            self.states.extend_from_slice(&self.x);
        }
    }

    /// States recorded so far.
    pub fn recorded(&self) -> usize {
        self.states.len() / self.dim
    }

    /// Energies recorded so far, of all walkers.
    pub fn recorded_energies(&self) -> u64 {
        (self.energies.first().map_or(0, Vec::len) * self.shape.walkers) as u64
    }

    /// The first `n` recorded states.
    pub fn draw(&self, n: usize) -> Result<Vec<f64>, SamplerError> {
        recorded::first(&self.states, self.dim, n)
    }

    /// Keeps states and energies.
    pub fn save(&self, c: &mut Checkpoint) {
        c.put_vec("x", &self.x);
        c.put_vec("states", &self.states);
        c.put_vec("energies", &self.energies.concat());
    }

    /// Takes them back, after `step` steps.
    pub fn restore(&mut self, c: &Checkpoint, step: u64) -> Result<(), CheckpointError> {
        c.get("x", &mut self.x)?;
        let rows = step.saturating_sub(self.shape.warm_up as u64) as usize;
        self.states = c.get_vec("states", (rows / self.shape.thin).saturating_mul(self.x.len()))?;
        let energies: Vec<f64> = c.get_vec("energies", rows.saturating_mul(self.shape.walkers))?;
        self.energies =
            (0..self.shape.walkers).map(|w| energies[w * rows..(w + 1) * rows].to_vec()).collect();
        Ok(())
    }

    /// Whether the chains agree.
    pub fn diagnostics(&self) -> Diagnostics {
        let c = convergence(&self.energies);
        let means: Vec<f64> = self.energies.iter().map(|e| mean(e)).collect();
        let error = sd(&means) / (means.len() as f64).sqrt();
        Diagnostics {
            figures: vec![
                ("energy_mean", mean(&means), Some(error)),
                ("energy_r_hat", c.r_hat, None),
                ("energy_bulk_ess", c.bulk_ess, None),
                ("energy_tail_ess", c.tail_ess, None),
            ],
            chains: recorded::by_starts(&self.energies),
            failures: recorded::r_hat_failure("energy", c.r_hat).into_iter().collect(),
            remedy: recorded::remedy(self.shape.thin),
            ..Diagnostics::default()
        }
    }
}

/// States as columns, each of the first draw in which it has a finite energy.
fn starts(target: &dyn Target<f64>, draw: impl Fn(u64) -> Vec<f64>) -> Result<Vec<f64>, TargetError> {
    let d = target.dim();
    let mut x = draw(0);
    let mut log_p = vec![0.0; x.len() / d];
    target.evaluate(&x, &mut log_p, &mut [])?;
    recorded::some_inside(log_p.iter())?;
    for round in 1..recorded::DRAWS {
        if log_p.iter().all(|l| l.is_finite()) {
            break;
        }
        let (again, mut log_p_again) = (draw(round), vec![0.0; log_p.len()]);
        target.evaluate(&again, &mut log_p_again, &mut [])?;
        let outside = log_p.iter_mut().enumerate().filter(|(_, l)| !l.is_finite());
        for (l, log_p) in outside {
            x[l * d..(l + 1) * d].copy_from_slice(&again[l * d..(l + 1) * d]);
            *log_p = log_p_again[l];
        }
    }
    recorded::all_inside(log_p.iter())?;
    Ok(x)
}
