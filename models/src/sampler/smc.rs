//! Adaptive sequential Monte Carlo of several independent populations: samples and log Z with a standard error.
//!
//! Every population of particles starts in a Gaussian and is brought to the target over temperatures of its own by
//! weights, resampling and Hamiltonian moves; see [`mcmc::smc`](crate::mcmc). With temperatures and moves
//! that are fixed its estimate of Z has no bias, so that Z is the mean of the B estimates,
//!
//! log Z = log (1/B) sum_b Z_b,  s = sd(Z_b) / (sqrt B mean(Z_b)),
//!
//! and its particles have Z_b for a weight among those of the others. The logarithm is low by about half the square
//! of the error. The error that is given is the root of (t s)^2 + drift^2: t widens that of few populations
//! ([`student_factor`]), and the `drift` by which moves at a temperature still shift the energies is of the size of the
//! bias that all populations share, because their temperatures and moves adapt and their particles lag behind.
//!
//! The scatter does not show what all populations miss. Where p is wider or has heavier tails than the Gaussian, or
//! its modes are hard to find for hot particles, Z_b has rare large values, and log Z is low in most runs, by more
//! than s: by 0.4 for the funnel and by 1 to 2 for `student-t` with the settings to begin with. The `drift` then has
//! one sign in all runs, but its check fails in some of them only. What helps is more of `sampler.moves` and a larger
//! `sampler.ess`; compare two.

mod settings;
#[cfg(test)]
mod tests;

pub use settings::{Config, Settings};

use engine::checkpoint::{Checkpoint, CheckpointError};
use engine::parallel::Tasks;
use engine::rng::Stream;
use rayon::prelude::*;

use super::{Diagnostics, LogZEstimate, Named, Sampler, SamplerError, consistent, fingerprint};
use crate::importance::{log_z, normalised_ess, resampled_to, tempered};
use crate::mcmc::smc::{Figures, Population, Rules};
use crate::metrics::{mean, sd, student_factor};
use crate::target::{Held, TargetError};

/// Trajectories at the target that are accepted less often do not move.
const ACCEPTANCE: f64 = 0.3;
/// Least effective share of the particles of a population, before they are resampled.
const SHARE: f64 = 0.1;
/// Least effective share of the populations, by their Z.
const AGREEMENT: f64 = 0.5;
/// The drift of the populations may be this far from 0 at most: standard errors, or nats where that is more. That of
/// a few hundred particles has a bias of some hundredths.
const DRIFT: [f64; 2] = [5.0, 0.05];
/// What to do where starts lie outside the support.
const ELSEWHERE: &str =
    "set sampler.initial_scale so that starts, which are drawn about the origin, meet the support";

/// The populations.
struct Smc<'t> {
    config: Config,
    target: Held<'t, f64>,
    rules: Rules,
    step: u64,
    populations: Vec<Population>,
}

impl<'t> Smc<'t> {
    fn new(config: Config, target: Held<'t, f64>, each: usize, seed: u64) -> Result<Self, TargetError> {
        let rules = Rules {
            scale: config.initial_scale,
            ess: config.ess,
            resample: config.resample,
            moves: config.moves,
            leapfrog_steps: config.leapfrog_steps,
            seed,
        };
        let start = |b: usize| Population::start(&rules, &*target, b, each);
        let begun: Vec<Result<Population, TargetError>> =
            (0..config.blocks).into_par_iter().tasks(|_, b| start(b));
        let populations = begun.into_iter().collect::<Result<Vec<_>, _>>()?;
        let this = Self { config, target, rules, step: 0, populations };
        TargetError::unless_inside(this.log_p().into_iter(), "starts of particles", ELSEWHERE)?;
        Ok(this)
    }

    /// -E of all particles.
    fn log_p(&self) -> Vec<f64> {
        self.populations.iter().flat_map(Population::log_p).collect()
    }

    /// A figure of each population.
    fn figures(&self, of: fn(&Figures) -> f64) -> Vec<f64> {
        self.populations.iter().map(|p| of(&p.figures)).collect()
    }

    /// Logarithms of the weights of the particles of some populations.
    fn log_weights(populations: &[Population]) -> Vec<f64> {
        populations.iter().flat_map(|p| p.log_w.iter().map(|w| w + p.figures.log_z)).collect()
    }

    /// `n` particles of some populations by their weights: their places.
    fn picks(populations: &[Population], n: usize, stream: &mut Stream) -> Vec<usize> {
        resampled_to(&tempered(&Self::log_weights(populations), 1.0, 0.0), n, stream)
    }

    fn arrived(&self) -> bool {
        self.populations.iter().all(Population::arrived)
    }

    /// Energies of the first and of the second half of the populations, resampled.
    fn chains(&self) -> Vec<Named<Vec<f64>>> {
        let (first, second) = self.populations.split_at(self.populations.len() / 2);
        [("first populations", first), ("other populations", second)]
            .into_iter()
            .enumerate()
            .map(|(k, (name, half))| {
                let log_p: Vec<f64> = half.iter().flat_map(Population::log_p).collect();
                let mut stream = Stream::new(self.rules.seed, "smc energies", k as u64, 0);
                let picks = Self::picks(half, log_p.len(), &mut stream);
                (name, picks.into_iter().map(|i| -log_p[i]).collect())
            })
            .collect()
    }

    /// The mean drift of the populations with its standard error.
    fn drift(&self) -> (f64, f64) {
        let drifts = self.figures(|f| f.drift);
        (mean(&drifts), sd(&drifts) / (drifts.len() as f64).sqrt())
    }

    fn failures(&self, agreement: f64) -> Vec<String> {
        let mut out = Vec::new();
        // NaN fails.
        let mut demand = |holds: bool, text: String| out.extend((!holds).then_some(text));
        let forced = self.populations.iter().filter(|p| p.figures.forced).count();
        let (blocks, most) = (self.config.blocks, self.config.temperatures);
        demand(
            forced == 0,
            format!("{forced} of {blocks} populations were not at the target after {most} temperatures"),
        );
        let lowest = self.figures(|f| f.acceptance).into_iter().fold(f64::INFINITY, f64::min);
        demand(
            lowest >= ACCEPTANCE,
            format!("trajectories of some population are accepted in {lowest:.3} of cases only"),
        );
        let share = self.figures(|f| f.least_share).into_iter().fold(1.0, f64::min);
        demand(
            share >= SHARE,
            format!("the effective share of some population fell to {share:.3}, below {SHARE}"),
        );
        let (drift, error) = self.drift();
        demand(
            drift.abs() <= DRIFT[1].max(DRIFT[0] * error),
            format!(
                "particles lag behind the temperatures: moves still change their mean energies, by {drift:.2} +- {error:.2} in log Z"
            ),
        );
        demand(
            agreement >= AGREEMENT,
            format!(
                "the populations' estimates of Z differ: their effective share is {agreement:.3}, below {AGREEMENT}"
            ),
        );
        out
    }
}

impl Sampler for Smc<'_> {
    fn done(&self) -> u64 {
        self.step
    }

    fn total(&self) -> u64 {
        self.config.temperatures as u64
    }

    /// One temperature of every population that has not arrived.
    fn step(&mut self) -> Result<(), SamplerError> {
        let (rules, target, step) = (&self.rules, &*self.target, self.step);
        let last = step + 1 >= self.config.temperatures as u64;
        let on_the_way = self.populations.par_iter_mut().filter(|p| !p.arrived());
        let moved: Vec<Result<(), TargetError>> =
            on_the_way.map(|p| p.advance(rules, target, step, last)).collect();
        moved.into_iter().collect::<Result<(), _>>()?;
        self.step += 1;
        Ok(())
    }

    fn step_figures(&self) -> Vec<Named> {
        let least = self.figures(|f| f.lambda).into_iter().fold(1.0, f64::min);
        vec![("acceptance", mean(&self.figures(|f| f.acceptance))), ("lambda", least)]
    }

    fn note(&self) -> String {
        let there = self.populations.iter().filter(|p| p.arrived()).count();
        format!("{there} of {} populations at the target", self.populations.len())
    }

    fn draw(&self, n: usize, _: usize, key: (u64, u64)) -> Result<Vec<f64>, SamplerError> {
        if !self.arrived() {
            let there = self.note();
            return Err(SamplerError::Settings(format!("there are no samples yet: {there}")));
        }
        let mut stream = Stream::new(key.0, "smc draw", key.1, 0);
        let picks = Self::picks(&self.populations, n, &mut stream);
        if picks.len() < n {
            let outside = "no particle has a weight: every population has left the support";
            return Err(TargetError::Outside(outside.into()).into());
        }
        let states: Vec<Vec<f64>> = self.populations.iter().flat_map(Population::states).collect();
        let mut x: Vec<f64> = picks.into_iter().flat_map(|i| states[i].iter().copied()).collect();
        stream.shuffle_columns(&mut x, self.target.dim());
        Ok(x)
    }

    fn checkpoint(&self) -> Checkpoint {
        let mut c = Checkpoint::new();
        fingerprint::put(&mut c, fingerprint::OWN, &*self.target);
        let vectors: Vec<[Vec<f64>; 2]> = self.populations.iter().map(Population::vectors).collect();
        for (k, name) in ["x", "score"].into_iter().enumerate() {
            c.put_vec(name, &vectors.iter().flat_map(|v| &v[k]).copied().collect::<Vec<f64>>());
        }
        c.put_vec("log_p", &self.log_p());
        c.put_vec("log_w", &self.populations.iter().flat_map(|p| &p.log_w).copied().collect::<Vec<f64>>());
        for (name, of) in PARTS {
            c.put_vec(name, &self.figures(of));
        }
        c.note("step", self.step);
        c
    }

    fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        fingerprint::check(c, fingerprint::OWN, &*self.target)?;
        self.step = c.read_note("step")?;
        let (step, total, blocks) = (self.step, self.total(), self.populations.len());
        consistent(&[(step <= total, format!("it is at step {step} of {total}"))])?;
        let mut parts = Vec::new();
        for (name, _) in PARTS {
            parts.push(c.get_vec::<f64>(name, blocks)?);
        }
        for (b, population) in self.populations.iter_mut().enumerate() {
            let part = |k: usize| parts[k][b];
            let count = population.log_w.len() as u64;
            let f = Figures {
                lambda: part(0),
                log_z: part(1),
                step_size: part(2),
                acceptance: part(3),
                least_share: part(4),
                drift: part(5),
                temperatures: part(6) as u64,
                resamplings: part(7) as u64,
                forced: part(8) != 0.0,
                evaluations: part(9) as u64,
            };
            let steps = f.temperatures;
            consistent(&[
                ((0.0..=1.0).contains(&f.lambda), format!("population {b} has lambda = {}", f.lambda)),
                (f.log_z < f64::INFINITY, format!("population {b} has log_z = {}", f.log_z)),
                (
                    f.step_size.is_finite() && f.step_size > 0.0,
                    format!("population {b} has step_size = {}", f.step_size),
                ),
                (
                    (0.0..=1.0).contains(&f.acceptance),
                    format!("population {b} has acceptance = {}", f.acceptance),
                ),
                (
                    (0.0..=1.0 + 1e-9).contains(&f.least_share),
                    format!("population {b} has least_share = {}", f.least_share),
                ),
                (f.drift.is_finite(), format!("population {b} has drift = {}", f.drift)),
                (
                    steps <= step && (f.lambda == 1.0 || steps == step),
                    format!("population {b} was at {steps} temperatures after {step} steps"),
                ),
                (
                    f.resamplings <= steps,
                    format!("population {b} was resampled {} times at {steps} temperatures", f.resamplings),
                ),
                (
                    f.evaluations >= count,
                    format!("population {b} of {count} particles took {} evaluations", f.evaluations),
                ),
            ])?;
            population.figures = f;
        }
        let (total, dim) = (self.populations.iter().map(|p| p.log_w.len()).sum::<usize>(), self.target.dim());
        let (x, score) = (c.get_vec::<f64>("x", total * dim)?, c.get_vec::<f64>("score", total * dim)?);
        let (log_p, log_w) = (c.get_vec::<f64>("log_p", total)?, c.get_vec::<f64>("log_w", total)?);
        let mut at = 0;
        for population in &mut self.populations {
            let count = population.log_w.len();
            let own = at..at + count;
            let wide = at * dim..(at + count) * dim;
            population.restore(&x[wide.clone()], &score[wide], &log_p[own.clone()], &log_w[own]);
            at += count;
        }
        Ok(())
    }

    fn diagnostics(&self) -> Diagnostics {
        let estimates = self.figures(|f| f.log_z);
        let share = normalised_ess(&Self::log_weights(&self.populations));
        let agreement = normalised_ess(&estimates);
        let (drift, drift_error) = self.drift();
        let (log_z, scatter) = log_z(&estimates);
        let scatter = student_factor(estimates.len()) * scatter;
        let chains = self.chains();
        let energies: Vec<f64> = chains.iter().flat_map(|(_, e)| e).copied().collect();
        Diagnostics {
            figures: vec![
                ("energy_mean", mean(&energies), None),
                ("particle_share", share, None),
                ("drift", drift, Some(drift_error)),
                ("population_share", agreement, None),
                ("temperatures", mean(&self.figures(|f| f.temperatures as f64)), None),
                ("resamplings", mean(&self.figures(|f| f.resamplings as f64)), None),
                ("particles", self.log_p().len() as f64, None),
            ],
            lists: vec![
                ("log_z", estimates.clone()),
                ("temperatures", self.figures(|f| f.temperatures as f64)),
                ("acceptances", self.figures(|f| f.acceptance)),
                ("least_shares", self.figures(|f| f.least_share)),
                ("step_sizes", self.figures(|f| f.step_size)),
            ],
            chains,
            log_z: Some(LogZEstimate { value: log_z, scatter, drift: drift.abs() }),
            failures: self.failures(agreement),
            remedy: format!(
                "use more: --set sampler.particles={} --set sampler.moves={} --set sampler.temperatures={}",
                4 * self.config.particles,
                2 * self.config.moves,
                2 * self.config.temperatures
            ),
        }
    }

    fn evaluations(&self) -> u64 {
        self.populations.iter().map(|p| p.figures.evaluations).sum()
    }
}

/// A number of a population.
type Part = fn(&Figures) -> f64;

/// What a checkpoint holds of each population.
const PARTS: [(&str, Part); 10] = [
    ("lambda", |f| f.lambda),
    ("log_z", |f| f.log_z),
    ("step_size", |f| f.step_size),
    ("acceptance", |f| f.acceptance),
    ("least_share", |f| f.least_share),
    ("drift", |f| f.drift),
    ("temperatures", |f| f.temperatures as f64),
    ("resamplings", |f| f.resamplings as f64),
    ("forced", |f| f64::from(u8::from(f.forced))),
    ("evaluations", |f| f.evaluations as f64),
];
