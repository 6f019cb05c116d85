//! Independent explorations of a target in R^d, which know nothing of the run that is judged.

use crate::mcmc::pilot::Pilot;
use crate::metrics::{mean, sd};
use crate::sampler::{LogZEstimate, SamplerError, smc};
use crate::target::{Geometry, Held, Target, Whitened};

/// Explorations; three tell a scatter.
const ROUNDS: u64 = 3;
/// Populations of an exploration.
const POPULATIONS: usize = 8;
/// Width of the Gaussian that they begin in, in units of what the pilot found.
const WIDE: f64 = 3.0;
/// Trajectories at each temperature, and leapfrog steps of each.
const MOVES: (usize, usize) = (3, 8);
/// Temperatures at most.
const TEMPERATURES: usize = 300;
/// The share of explorations whose own checks may fail before they cannot judge.
const FAILED: f64 = 0.5;

/// What explorations have found.
#[derive(Clone, Debug, Default)]
pub struct Explorations {
    /// States of each, as columns of equal weight.
    pub states: Vec<Vec<f64>>,
    /// log Z with a standard error from the scatter.
    pub log_z: Option<(f64, f64)>,
    /// Checks of their own that failed.
    pub failures: Vec<String>,
    /// Energies that they took.
    pub evaluations: u64,
}

impl Explorations {
    /// Whether they may judge: most of them passed their own checks.
    pub fn may_judge(&self) -> bool {
        !self.states.is_empty() && self.failures.len() as f64 <= FAILED * self.states.len() as f64
    }
}

/// Explores the target with sequential Monte Carlo from Gaussians that short chains have placed, each time with other
/// chains, `states` states each. None on particles, and for no states; without states where short chains do not find how wide
/// the target is.
///
/// # Errors
/// Where the target cannot be evaluated.
pub fn explore(
    target: &dyn Target<f64>,
    states: usize,
    seed: u64,
) -> Result<Option<Explorations>, SamplerError> {
    if states == 0 || !matches!(target.geometry(), Geometry::Euclidean(_)) {
        return Ok(None);
    }
    let mut found = Explorations::default();
    let mut log_z = Vec::new();
    for round in 0..ROUNDS {
        let own = seed ^ (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut pilot = Pilot::start(target, own)?;
        while pilot.done() < pilot.total() {
            pilot.advance(target)?;
        }
        found.evaluations += pilot.evaluations;
        let Some(affine) = pilot.surroundings() else {
            // What was found before tells nothing of the scatter.
            return Ok(Some(Explorations { evaluations: found.evaluations, ..Explorations::default() }));
        };
        let offset = pilot.log_p().into_iter().filter(|l| l.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        let whitened = Whitened::new(target, affine.clone(), offset);
        let settings = smc::Settings {
            sampler: smc::Config {
                blocks: POPULATIONS,
                particles: states.div_ceil(POPULATIONS).max(2),
                initial_scale: WIDE,
                moves: MOVES.0,
                leapfrog_steps: MOVES.1,
                temperatures: TEMPERATURES,
                ..Default::default()
            },
        };
        let mut sampler = settings.on(Held::Owned(Box::new(whitened)), states, own)?;
        while sampler.done() < sampler.total() {
            sampler.step()?;
        }
        found.evaluations += sampler.evaluations();
        let said = sampler.diagnostics();
        found.failures.extend(said.failures.into_iter().next());
        log_z.extend(said.log_z.map(|z| LogZEstimate { value: z.value + offset, ..z }));
        found.states.push(affine.forward(&sampler.draw(states, 0, (own, 1))?));
    }
    if log_z.len() as u64 == ROUNDS {
        let of = |part: fn(&LogZEstimate) -> f64| log_z.iter().map(part).collect::<Vec<f64>>();
        let values = of(|z| z.value);
        let scatter = sd(&values).max(mean(&of(|z| z.scatter))) / (ROUNDS as f64).sqrt();
        // What all populations lack, those of other rounds lack too.
        found.log_z = Some((mean(&values), scatter.hypot(mean(&of(|z| z.drift)))));
    }
    Ok(Some(found))
}
