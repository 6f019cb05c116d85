//! The sampler: walkers on all rungs, swaps, warm-up, recording.

use std::sync::Arc;

use engine::parallel::Tasks;
use engine::ranks::{Ranks, Solo, for_parts};
use engine::rng::Stream;
use rayon::prelude::*;

use super::block::{Block, GROUP, spread, starts};
use super::config::Config;
use super::jumps::{Jumps, ModelMoves};
use super::ladder::{Ladder, interpolate};
use crate::mcmc::hmc::{Density, Tempering};
use crate::sampler::SamplerError;
use crate::target::{Geometry, Held, Target, TargetError};

/// The warm-up respaces the ladder after each of this many parts but the last three.
const PARTS: usize = 8;

/// Parallel tempering: walkers on all rungs of the ladder; see the [module](super).
pub struct ParallelTempering<'a> {
    pub(super) config: Config,
    pub(super) target: Held<'a, f64>,
    pub(super) seed: u64,
    /// Who shares the blocks of walkers.
    pub(super) ranks: Arc<dyn Ranks>,
    /// Of a model, if there is one.
    pub(super) moves: Option<ModelMoves<'a>>,
    pub(super) ladder: Ladder,
    /// Step size on each rung.
    pub(super) steps: Vec<f64>,
    /// Blocks of a rung lie together.
    pub(super) blocks: Vec<Block>,
    pub(super) sweep: usize,
    pub(super) evaluations: u64,
    /// Sweeps since the ladder last changed.
    pub(super) settled: usize,
    /// For each (rung, walker), whether its state was last at the Gaussian end.
    pub(super) from_hot: Vec<bool>,
    pub(super) record: Record,
}

/// What is recorded after the warm-up.
#[derive(Clone, Default)]
pub(super) struct Record {
    pub sweeps: usize,
    /// E on the first rung after each sweep, for each walker.
    pub energy: Vec<Vec<f64>>,
    /// The mean distance of two particles, or the root mean square coordinate where there are none.
    pub spread: Vec<Vec<f64>>,
    /// Sums of acceptances over sweeps: swaps of rungs k and k + 1, trajectories on rung k.
    pub swaps: Vec<f64>,
    /// How often each pair was offered a swap.
    pub offers: Vec<f64>,
    pub moves: Vec<f64>,
    pub jumps: Jumps,
    pub round_trips: usize,
    /// E(x) - |x|^2 / 2 s^2 every `thin` sweeps: \[rung\]\[walker\].
    pub excess: Vec<Vec<Vec<f64>>>,
    /// The first rung's states every `thin` sweeps, as columns; particle states are rotated or reflected and
    /// permuted at random, because a large cluster keeps its orientation and numbering for very long.
    pub states: Vec<f64>,
}

impl Record {
    fn new(walkers: usize, rungs: usize) -> Self {
        Self {
            energy: vec![Vec::new(); walkers],
            spread: vec![Vec::new(); walkers],
            swaps: vec![0.0; rungs - 1],
            offers: vec![0.0; rungs - 1],
            moves: vec![0.0; rungs],
            excess: vec![vec![Vec::new(); walkers]; rungs],
            ..Self::default()
        }
    }
}

impl<'a> ParallelTempering<'a> {
    /// Walkers at dispersed starts.
    ///
    /// # Errors
    /// A setting outside its range, or a target that cannot be evaluated or has no start of finite energy.
    pub fn new(config: Config, target: &'a dyn Target<f64>, seed: u64) -> Result<Self, SamplerError> {
        Self::on(config, target.into(), seed)
    }

    /// The same on a target that may be the sampler's own.
    pub(crate) fn on(config: Config, target: Held<'a, f64>, seed: u64) -> Result<Self, SamplerError> {
        config.check()?;
        if let Some(problem) = target.geometry().problem() {
            return Err(SamplerError::Settings(problem));
        }
        let ladder = Ladder::new(config.rungs, config.least_lambda);
        let (blocks, evaluations) = starts(&config, &*target, seed)?;
        Ok(Self {
            target,
            seed,
            ranks: Arc::new(Solo),
            moves: None,
            ladder,
            steps: vec![0.05 * config.scale; config.rungs],
            blocks,
            sweep: 0,
            evaluations,
            settled: 0,
            from_hot: vec![false; config.rungs * config.walkers],
            record: Record::new(config.walkers, config.rungs),
            config,
        })
    }

    /// Shares the trajectories with other ranks from here on: each moves its blocks of 32 walkers of a rung, and all have
    /// all states after a sweep. Swaps, adaptation, records and moves by a model are repeated on every rank.
    pub fn share(&mut self, ranks: Arc<dyn Ranks>) {
        self.ranks = ranks;
    }

    /// Sweeps so far, those of the warm-up included.
    pub fn sweeps(&self) -> usize {
        self.sweep
    }

    /// States of the target recorded so far.
    pub fn recorded(&self) -> usize {
        self.record.states.len() / self.dim()
    }

    /// The recorded states as columns, walkers in turn; particle states are rotated or reflected and permuted at
    /// random.
    pub fn states(&self) -> &[f64] {
        &self.record.states
    }

    /// The energies after each recorded sweep, one chain for each walker.
    pub fn energies(&self) -> &[Vec<f64>] {
        &self.record.energy
    }

    /// The ladder: lambda of each rung, from 1 down to 0.
    pub fn rungs(&self) -> &[f64] {
        self.ladder.rungs()
    }

    /// Sweeps from one recorded state to the next.
    pub fn thin(&self) -> usize {
        self.config.thin
    }

    /// Energies evaluated so far, each with its gradient.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// The mean acceptance of trajectories in the last sweep, over all rungs but the Gaussian.
    pub fn acceptance(&self) -> f64 {
        let rungs = &self.acceptances()[..self.config.rungs - 1];
        rungs.iter().sum::<f64>() / rungs.len() as f64
    }

    /// The number of walkers.
    pub fn walkers(&self) -> usize {
        self.config.walkers
    }

    /// The mean energy of the states on the target's rung.
    pub fn energy(&self) -> f64 {
        let blocks = &self.blocks[..self.groups()];
        blocks.iter().flat_map(|b| &b.log_p).map(|l| -l).sum::<f64>() / self.config.walkers as f64
    }

    /// The length of a state.
    pub(super) fn dim(&self) -> usize {
        self.target.dim()
    }

    /// The dimension of the space of states, (n - 1) D for particles.
    pub(super) fn mean_free_dim(&self) -> usize {
        self.target.geometry().free_dim()
    }

    fn groups(&self) -> usize {
        self.config.walkers.div_ceil(GROUP)
    }

    /// Moves every state once, offers swaps, and adapts or records.
    ///
    /// # Errors
    /// Where the target cannot be evaluated; the error of the first block, for any number of threads.
    pub fn sweep(&mut self) -> Result<(), TargetError> {
        let warm = self.sweep < self.config.warm_up;
        if self.sweep == self.config.warm_up {
            self.from_hot.fill(false);
            self.record = Record::new(self.config.walkers, self.config.rungs);
        }
        self.move_all()?;
        self.jump_all()?;
        let acceptances = self.acceptances();
        self.swap_all();
        if warm {
            self.adapt(&acceptances);
        } else {
            self.record.moves.iter_mut().zip(&acceptances).for_each(|(sum, a)| *sum += a);
            self.note();
        }
        self.sweep += 1;
        Ok(())
    }

    fn move_all(&mut self) -> Result<(), TargetError> {
        let (groups, config, last) = (self.groups(), &self.config, self.config.rungs - 1);
        let (seed, sweep) = (self.seed, self.sweep as u64);
        let (lambdas, steps) = (self.ladder.rungs(), &self.steps);
        let target = &*self.target;
        let one = |task: usize, block: &mut Block| {
            let k = task / groups;
            let stream = &mut Stream::new(seed, "reference moves", sweep, task as u64);
            let tempering = Tempering { lambda: lambdas[k], precision: config.scale.powi(-2) };
            if k == last {
                block.draw(target, &vec![config.scale; block.n], stream)?;
                Ok(block.n)
            } else {
                // Random step sizes, against periodic orbits.
                let step = steps[k] * (0.8 + 0.4 * stream.uniform());
                let least = config.leapfrog_steps.div_ceil(2);
                let count = least + stream.index(config.leapfrog_steps - least + 1);
                block.trajectory(Density { target, tempering: Some(tempering) }, step, count, stream)?;
                Ok(block.n * count)
            }
        };
        // What goes around; one rank has no need of it.
        let (blocks, part) = (&mut self.blocks, Block::numbers(GROUP, target.dim()));
        let mut states = vec![0.0; if self.ranks.size() > 1 { blocks.len() * part } else { 0 }];
        let mut evaluations = vec![0.0; blocks.len()];
        for_parts(&*self.ranks, (&mut states, part), (&mut evaluations, 1), |first, states, evaluations| {
            let own = &mut blocks[first..first + evaluations.len()];
            let moved: Vec<Result<usize, TargetError>> =
                own.par_iter_mut().tasks(|k, block| one(first + k, block));
            for (evaluations, moved) in evaluations.iter_mut().zip(moved) {
                // There are fewer than a double can count.
                *evaluations = moved? as f64;
            }
            own.iter().zip(states.chunks_exact_mut(part)).for_each(|(block, to)| block.write(to));
            Ok::<_, TargetError>(())
        })?;
        blocks.iter_mut().zip(states.chunks_exact(part)).for_each(|(block, from)| block.read(from));
        self.evaluations += evaluations.iter().sum::<f64>() as u64;
        Ok(())
    }

    /// The mean acceptance on each rung.
    fn acceptances(&self) -> Vec<f64> {
        let mean = |blocks: &[Block]| {
            blocks.iter().map(|b| b.mean_acceptance() * b.n as f64).sum::<f64>() / self.config.walkers as f64
        };
        self.blocks.chunks_exact(self.groups()).map(mean).collect()
    }

    /// E(x) - |x|^2 / 2 s^2 of walker l of a block: +inf outside the support, where only the Gaussian rung leads.
    fn excess(&self, block: usize, l: usize) -> f64 {
        let block = &self.blocks[block];
        -block.log_p[l] - 0.5 * block.square(l) / self.config.scale.powi(2)
    }

    /// Offers a swap to every second pair of neighbours of every walker: accepted with probability
    /// min(1, exp((lambda_k - lambda_(k+1)) (U_k - U_(k+1)))), U the excess.
    fn swap_all(&mut self) {
        let (groups, walkers) = (self.groups(), self.config.walkers);
        let mut stream = Stream::new(self.seed, "reference swaps", self.sweep as u64, 0);
        for k in (self.sweep % 2..self.config.rungs - 1).step_by(2) {
            let gap = self.ladder.rungs()[k] - self.ladder.rungs()[k + 1];
            for w in 0..walkers {
                let (upper, lower, l) = (k * groups + w / GROUP, (k + 1) * groups + w / GROUP, w % GROUP);
                let change = gap * (self.excess(upper, l) - self.excess(lower, l));
                self.record.swaps[k] += change.min(0.0).exp() / walkers as f64;
                if stream.uniform().ln() < change {
                    let (left, right) = self.blocks.split_at_mut(lower);
                    left[upper].swap(&mut right[0], l);
                    self.from_hot.swap(k * walkers + w, (k + 1) * walkers + w);
                }
            }
            self.record.offers[k] += 1.0;
        }
        let hot = self.from_hot.len() - walkers;
        self.from_hot[hot..].fill(true);
        for tag in &mut self.from_hot[..walkers] {
            self.record.round_trips += usize::from(*tag);
            *tag = false;
        }
    }

    /// Step sizes by Robbins and Monro; the ladder at the end of each part of the warm-up.
    fn adapt(&mut self, acceptances: &[f64]) {
        self.settled += 1;
        let rate = (1.0 + self.settled as f64 / 10.0).powf(-0.6);
        for (step, a) in self.steps.iter_mut().zip(acceptances) {
            let next = *step * (rate * (a - self.config.acceptance)).exp();
            *step = next.clamp(1e-6 * self.config.scale, 10.0 * self.config.scale);
        }
        let part = self.config.warm_up / PARTS;
        if part >= 2 && (self.sweep + 1).is_multiple_of(part) && (self.sweep + 1) / part <= PARTS - 3 {
            let rate = |(sum, offers): (&f64, &f64)| 1.0 - sum / offers;
            let rejections: Vec<f64> = self.record.swaps.iter().zip(&self.record.offers).map(rate).collect();
            let places = self.ladder.respace(&rejections);
            let logarithms: Vec<f64> = self.steps.iter().map(|s| s.ln()).collect();
            // The last rung has no step size of its own.
            let last = (self.config.rungs - 2) as f64;
            self.steps = places.iter().map(|p| interpolate(&logarithms, p.min(last)).exp()).collect();
            self.record = Record::new(self.config.walkers, self.config.rungs);
            self.settled = 0;
        }
    }

    /// Records the first rung, and every `thin` sweeps the states and all rungs' excess energies.
    fn note(&mut self) {
        self.record.sweeps += 1;
        let whole = self.record.sweeps.is_multiple_of(self.config.thin);
        let groups = self.groups();
        for w in 0..self.config.walkers {
            let (block, l) = (&self.blocks[w / GROUP], w % GROUP);
            self.record.energy[w].push(-block.log_p[l]);
            let mut state: Vec<f64> = block.state(l).collect();
            self.record.spread[w].push(spread(&state, self.target.geometry()));
            if whole {
                if let Geometry::Particles(system) = self.target.geometry() {
                    let at = (self.sweep as u64, w as u64);
                    let mut stream = Stream::new(self.seed, "reference symmetry", at.0, at.1);
                    system.random_symmetry(&mut stream, &mut state);
                }
                self.record.states.extend(state);
                for k in 0..self.config.rungs {
                    let excess = self.excess(k * groups + w / GROUP, l);
                    self.record.excess[k][w].push(excess);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcmc::parallel_tempering::config::tests::config;
    use crate::target::{DoubleWell, LennardJones, ParticleSystem, Pointwise};

    #[test]
    fn a_gaussian_has_its_mean_variance_and_log_z() {
        // E = sum_a (x_a - a)^2 / 2 v_a with v = 1/4, 4, 1.
        let v = [0.25, 4.0, 1.0];
        let target = Pointwise::new(3, move |x: &[f64], g: &mut [f64]| {
            (0..3).for_each(|a| g[a] = (x[a] - a as f64) / v[a]);
            (0..3).map(|a| 0.5 * (x[a] - a as f64).powi(2) / v[a]).sum()
        });
        let mut sampler = ParallelTempering::new(config(), &target, 1).unwrap();
        while sampler.recorded() < 20_000 {
            sampler.sweep().unwrap();
        }
        let report = sampler.report();
        assert_eq!(report.failures(), Vec::<String>::new(), "{report:?}");
        // E is half a chi-square of 3 degrees of freedom.
        assert!((report.energy_mean - 1.5).abs() < 4.0 * report.energy_error, "{report:?}");
        assert!(report.energy_error < 0.02 && (report.energy_sd - 1.5f64.sqrt()).abs() < 0.05);
        let want = 0.5 * (3.0 * std::f64::consts::TAU.ln() + v.iter().map(|v| v.ln()).sum::<f64>());
        assert!((report.log_z.value - want).abs() < 4.0 * report.log_z.error, "{:?} {want}", report.log_z);
        assert!(report.log_z.error < 0.03, "{:?}", report.log_z);
        for a in 0..3 {
            let x: Vec<f64> = sampler.states().iter().skip(a).step_by(3).copied().collect();
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            assert!((mean - a as f64).abs() < 0.05 * v[a].sqrt(), "{mean}");
            assert!((variance / v[a] - 1.0).abs() < 0.08, "{variance}");
        }
    }

    #[test]
    fn mean_free_particles_without_interaction_have_the_log_z_of_their_subspace() {
        // A trap of variance 1/2 about the mean, on the 6 mean-free dimensions of 4 particles.
        let system = ParticleSystem { particles: 4, space: 2 };
        let trap = Pointwise::on(system.into(), |x: &[f64], g: &mut [f64]| {
            let mean = [0, 1].map(|k| (0..4).map(|i| x[2 * i + k]).sum::<f64>() / 4.0);
            (0..8).for_each(|a| g[a] = 2.0 * (x[a] - mean[a % 2]));
            (0..8).map(|a| (x[a] - mean[a % 2]).powi(2)).sum()
        });
        let mut sampler = ParallelTempering::new(config(), &trap, 2).unwrap();
        while sampler.recorded() < 10_000 {
            sampler.sweep().unwrap();
        }
        let report = sampler.report();
        let want = 3.0 * std::f64::consts::PI.ln();
        assert!((report.log_z.value - want).abs() < 4.0 * report.log_z.error, "{:?} {want}", report.log_z);
        assert!((report.energy_mean - 3.0).abs() < 4.0 * report.energy_error, "{report:?}");
        assert!(sampler.states().chunks(8).all(|x| (x[0] + x[2] + x[4] + x[6]).abs() < 1e-12));
    }

    #[test]
    fn one_and_three_threads_give_the_same_bits() {
        let cluster = LennardJones::new(4).unwrap();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let config = Config { walkers: 70, warm_up: 40, ..config() };
                let mut sampler = ParallelTempering::new(config, &cluster, 3).unwrap();
                (0..60).for_each(|_| sampler.sweep().unwrap());
                (sampler.states().to_vec(), format!("{:?}", sampler.report()))
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn a_short_run_fails_its_checks_and_says_so() {
        let wells = DoubleWell::dw4();
        let config = Config { warm_up: 1, thin: 1, ..config() };
        let mut sampler = ParallelTempering::new(config, &wells, 0).unwrap();
        (0..20).for_each(|_| sampler.sweep().unwrap());
        let failures = sampler.report().failures();
        assert!(failures.iter().any(|f| f.contains("ESS of the energy")), "{failures:?}");
        // 50 effective states for each half of a chain.
        let asked = |a_walker: f64| {
            let mut report = sampler.report();
            let size = a_walker * report.walkers as f64;
            (report.energy.bulk_ess, report.energy.tail_ess) = (size, size);
            !report.failures().iter().any(|f| f.contains("ESS of the energy"))
        };
        assert!(!asked(50.0) && !asked(99.0) && asked(101.0));
    }
}
