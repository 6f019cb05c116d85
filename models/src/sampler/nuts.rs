//! The No-U-Turn Sampler of many independent walkers on the target itself, with the settings of its papers: a mean
//! acceptance of 0.8, ten doublings at most, dual averaging and Stan's windows in the warm-up.
//!
//! Step size and scales are those of all walkers together: the step size brings the harmonic mean of their acceptances
//! to the wanted one, so that a walker far out, where the energy is steep, is not left behind by the others; scales are
//! standard deviations within walkers, so that modes that walkers do not leave do not widen them. On particles all coordinates have the same scale, for moves keep the
//! mean. What is said of starts in [`hmc`](super::hmc) holds here too.

use engine::checkpoint::{Checkpoint, CheckpointError};
use serde::{Deserialize, Serialize};

use super::{Diagnostics, MethodConfig, Named, Sampler, SamplerError, consistent, fingerprint};
use crate::mcmc::chains::{Chains, Shape};
use crate::mcmc::nuts::{DualAveraging, Moves, Spread, nuts, windows};
use crate::mcmc::recorded;
use crate::memory::{self, Part};
use crate::range::{self, Range::Between};
use crate::target::{AnyTarget, Target};

/// Share of trajectories that may diverge before the run says that it failed.
const DIVERGED: f64 = 1e-3;

/// The method's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Walkers and moves.
    pub sampler: Config,
}

/// Walkers and moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Independent walkers, an even number.
    pub walkers: usize,
    /// Standard deviation that starts are spread about.
    pub scale: f64,
    /// The mean acceptance along trajectories that the step size is chosen for.
    pub acceptance: f64,
    /// Doublings of a trajectory, at most: 2^depth - 1 leapfrog steps.
    pub depth: usize,
    /// Trajectories before recording begins, in which step size and scales adapt.
    pub warm_up: usize,
    /// Trajectories from one recorded state to the next.
    pub thin: usize,
}

impl Config {
    fn problem(&self) -> Option<String> {
        let ranges = [
            ("sampler.walkers", self.walkers as f64, Between(2.0, 1e6)),
            ("sampler.scale", self.scale, Between(1e-6, 1e6)),
            ("sampler.acceptance", self.acceptance, Between(0.05, 0.999)),
            ("sampler.depth", self.depth as f64, Between(1.0, 20.0)),
            ("sampler.warm_up", self.warm_up as f64, Between(1.0, 1e9)),
            ("sampler.thin", self.thin as f64, Between(1.0, 1e6)),
        ];
        let even = (!self.walkers.is_multiple_of(2))
            .then(|| format!("sampler.walkers = {} must be even", self.walkers));
        range::check(&ranges).err().or(even)
    }

    fn shape(&self) -> Shape {
        Shape { walkers: self.walkers, warm_up: self.warm_up, thin: self.thin }
    }
}

impl MethodConfig for Settings {
    fn begin(scales: Option<[f64; 2]>) -> Self {
        let scale = scales.map_or(2.0, |[data, _]| data);
        Self { sampler: Config { walkers: 128, scale, acceptance: 0.8, depth: 10, warm_up: 500, thin: 5 } }
    }

    fn learns(&self) -> bool {
        false
    }

    fn problem(&self, target: &dyn AnyTarget) -> Option<String> {
        self.sampler.problem().or_else(|| target.double().geometry().problem())
    }

    fn memory(&self, target: &dyn AnyTarget, samples: usize) -> Vec<Part> {
        self.sampler.shape().memory(target.double().dim(), samples)
    }

    fn steps(&self, samples: usize) -> u64 {
        self.sampler.shape().steps(samples)
    }

    fn build<'t>(
        &self,
        target: &'t dyn AnyTarget,
        samples: usize,
        seed: u64,
    ) -> Result<Box<dyn Sampler + 't>, SamplerError> {
        if let Some(problem) =
            self.problem(target).or_else(|| memory::check(&self.memory(target, samples)).err())
        {
            return Err(SamplerError::Settings(problem));
        }
        let (config, target) = (self.sampler.clone(), target.double());
        let chains = Chains::dispersed(target, config.shape(), config.scale, (seed, "nuts starts"))?;
        // In units of the scales, which begin as those of the starts.
        let step = 0.05;
        let moves = Moves { step, scales: vec![config.scale; target.dim()], depth: config.depth as u32 };
        Ok(Box::new(Walkers {
            target,
            seed,
            total: self.steps(samples),
            step: 0,
            windows: windows(config.warm_up as u64),
            moves,
            adaptation: DualAveraging::new(step),
            spread: Spread::new(chains.x.len()),
            figures: [0.0; 2],
            evaluations: 0,
            diverged: 0,
            long: 0,
            chains,
            config,
        }))
    }
}

/// The walkers.
struct Walkers<'t> {
    config: Config,
    target: &'t dyn Target<f64>,
    seed: u64,
    total: u64,
    step: u64,
    /// Where windows of the warm-up begin, and where each ends.
    windows: (u64, Vec<u64>),
    moves: Moves,
    adaptation: DualAveraging,
    spread: Spread,
    /// Acceptance and energies for each walker in the last step.
    figures: [f64; 2],
    evaluations: u64,
    /// Trajectories after the warm-up that diverged, and that ended at the largest depth.
    diverged: u64,
    long: u64,
    chains: Chains,
}

impl Walkers<'_> {
    /// Step size and scales after a step of the warm-up.
    fn adapt(&mut self, acceptance: f64) {
        let warm_up = self.config.warm_up as u64;
        self.moves.step = self.adaptation.next(acceptance, self.config.acceptance);
        let (first, ends) = &self.windows;
        // The first steps, in which the walkers come from their starts, belong to no window.
        if self.step > *first && ends.last().is_some_and(|last| self.step <= *last) {
            self.spread.add(&self.chains.x);
        }
        if self.windows.1.contains(&self.step) {
            if self.target.geometry().particles().is_none() {
                let scales = self.spread.scales(self.target.dim());
                // The same leapfrog step in the coordinate that allows the shortest.
                let ratio = |(new, old): (&f64, &f64)| old / new;
                let least = scales.iter().zip(&self.moves.scales).map(ratio).fold(f64::INFINITY, f64::min);
                self.moves.step = (self.moves.step * least).clamp(1e-9, 1.0);
                self.moves.scales = scales;
            }
            self.spread = Spread::new(self.chains.x.len());
            self.adaptation = DualAveraging::new(self.moves.step);
        }
        if self.step == warm_up {
            self.moves.step = self.adaptation.step();
        }
    }
}

impl Sampler for Walkers<'_> {
    fn done(&self) -> u64 {
        self.step
    }

    fn total(&self) -> u64 {
        self.total
    }

    fn step(&mut self) -> Result<(), SamplerError> {
        let all = nuts(self.target, &self.moves, (self.seed, self.step), &mut self.chains.x)?;
        self.figures = [all.acceptance, all.evaluations as f64 / self.config.walkers as f64];
        self.evaluations += all.evaluations;
        self.step += 1;
        if self.step <= self.config.warm_up as u64 {
            self.adapt(all.harmonic);
        } else {
            self.diverged += all.diverged;
            self.long += all.long;
            self.chains.record(&all.energies);
        }
        Ok(())
    }

    fn step_figures(&self) -> Vec<Named> {
        let [acceptance, energies] = self.figures;
        vec![("acceptance", acceptance), ("step_size", self.moves.step), ("energies", energies)]
    }

    fn note(&self) -> String {
        recorded::note(self.chains.recorded())
    }

    fn draw(&self, n: usize, _: usize, _: (u64, u64)) -> Result<Vec<f64>, SamplerError> {
        self.chains.draw(n)
    }

    fn chains(&self) -> Option<usize> {
        Some(self.config.walkers)
    }

    fn checkpoint(&self) -> Checkpoint {
        let mut c = Checkpoint::new();
        fingerprint::put(&mut c, fingerprint::OWN, self.target);
        self.chains.save(&mut c);
        let DualAveraging { centre, count, shortfall, average } = self.adaptation;
        c.put_vec("adaptation", &[self.moves.step, centre, count, shortfall, average]);
        c.put_vec("scales", &self.moves.scales);
        c.put_vec("spread", &[self.spread.mean.clone(), self.spread.squares.clone()].concat());
        c.put_vec("figures", &self.figures);
        c.note("step", self.step);
        c.note("spread_count", self.spread.count);
        c.note("evaluations", self.evaluations);
        c.note("diverged", self.diverged);
        c.note("long", self.long);
        c
    }

    fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        fingerprint::check(c, fingerprint::OWN, self.target)?;
        self.step = c.read_note("step")?;
        self.spread.count = c.read_note("spread_count")?;
        self.evaluations = c.read_note("evaluations")?;
        self.diverged = c.read_note("diverged")?;
        self.long = c.read_note("long")?;
        let mut adaptation = [0.0; 5];
        c.get("adaptation", &mut adaptation)?;
        c.get("scales", &mut self.moves.scales)?;
        c.get("figures", &mut self.figures)?;
        let spread: Vec<f64> = c.get_vec("spread", 2 * self.chains.x.len())?;
        let (mean, squares) = spread.split_at(self.chains.x.len());
        (self.spread.mean, self.spread.squares) = (mean.to_vec(), squares.to_vec());
        let [step, centre, count, shortfall, average] = adaptation;
        self.moves.step = step;
        self.adaptation = DualAveraging { centre, count, shortfall, average };
        let (at, total) = (self.step, self.total);
        let positive = |v: &f64| v.is_finite() && *v > 0.0;
        consistent(&[
            (at <= total, format!("it is at step {at} of {total}")),
            (positive(&step), format!("step_size = {step}")),
            (self.moves.scales.iter().all(positive), "a scale is not positive".into()),
            (adaptation.iter().all(|v| v.is_finite()), "its adaptation is not finite".into()),
        ])?;
        self.chains.restore(c, at)
    }

    fn diagnostics(&self) -> Diagnostics {
        let mut all = self.chains.diagnostics();
        let kept = self.step.saturating_sub(self.config.warm_up as u64) * self.config.walkers as u64;
        let share = |count: u64| count as f64 / kept.max(1) as f64;
        let (diverged, long) = (share(self.diverged), share(self.long));
        all.figures.extend([("diverged_share", diverged, None), ("longest_share", long, None)]);
        all.lists.push(("scales", self.moves.scales.clone()));
        if diverged > DIVERGED {
            all.failures.push(format!("{:.2} % of the trajectories diverged", 100.0 * diverged));
            all.remedy = format!(
                "shorten the steps: --set sampler.acceptance={:.2}",
                1.0 - 0.3 * (1.0 - self.config.acceptance)
            );
        }
        all
    }

    /// Without those of the starts.
    fn evaluations(&self) -> u64 {
        self.evaluations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{mean, sd};
    use crate::target::{Double, Mixture, Pointwise};

    fn settings(scale: f64) -> Settings {
        let mut settings = Settings::begin(Some([scale, 1.0]));
        (settings.sampler.walkers, settings.sampler.warm_up, settings.sampler.thin) = (100, 200, 2);
        settings
    }

    fn finished<'t>(settings: &Settings, target: &'t dyn AnyTarget, samples: usize) -> Box<dyn Sampler + 't> {
        let mut walkers = settings.build(target, samples, 1).unwrap();
        while walkers.done() < walkers.total() {
            walkers.step().unwrap();
        }
        walkers
    }

    #[test]
    fn a_stiff_gaussian_is_sampled_with_scales_from_the_warm_up() {
        // Widths from 1e-2 to 1e2, which one step size would need 1e4 leapfrog steps for.
        let widths = [1e-2, 1.0, 1e2];
        let target = Double(Pointwise::new(3, move |x: &[f64], g: &mut [f64]| {
            (0..3).for_each(|a| g[a] = x[a] / (widths[a] * widths[a]));
            0.5 * (0..3).map(|a| (x[a] / widths[a]).powi(2)).sum::<f64>()
        }));
        let walkers = finished(&settings(3.0), &target, 10_000);
        let x = walkers.draw(10_000, 0, (0, 0)).unwrap();
        for (a, want) in widths.into_iter().enumerate() {
            let axis: Vec<f64> = x.iter().skip(a).step_by(3).copied().collect();
            // Of 10 000 states at least a quarter count: five standard errors of 2500.
            assert!(mean(&axis).abs() < 0.1 * want, "{a}: {}", mean(&axis));
            assert!((sd(&axis) / want - 1.0).abs() < 5.0 / (2.0 * 2500.0_f64).sqrt(), "{a}: {}", sd(&axis));
        }
        let all = walkers.diagnostics();
        assert_eq!(all.failures, Vec::<String>::new());
        // With right scales a trajectory takes a few leapfrog steps.
        let [(_, acceptance), _, (_, each)] = walkers.step_figures()[..] else { panic!("three figures") };
        assert!(each < 20.0, "{each}");
        assert!((acceptance - 0.8).abs() < 0.1, "{acceptance}");
    }

    #[test]
    fn walkers_that_begin_on_a_steep_wall_come_down() {
        // Two wells of a quartic, from starts of 3 at a width of 1.2: the curvature there is 10^3 times that of the wells.
        let target = Double(Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
            let w = x[0] * x[0] - 1.5;
            g[0] = 12.0 * w * x[0];
            3.0 * w * w
        }));
        let walkers = finished(&settings(5.0), &target, 2000);
        let x = walkers.draw(2000, 0, (0, 0)).unwrap();
        assert!(x.iter().all(|x| x.abs() < 3.0), "{:?}", x.iter().copied().fold(0.0, f64::max));
        assert!(walkers.step_figures()[0].1 > 0.6, "{:?}", walkers.step_figures());
    }

    #[test]
    fn a_narrow_neck_fails_a_check() {
        let target = crate::target::Funnel::new(8).unwrap();
        let all = finished(&settings(3.0), &target, 2000).diagnostics();
        assert!(!all.failures.is_empty() && !all.remedy.is_empty(), "{all:?}");
    }

    #[test]
    fn particles_keep_their_mean() {
        let target = crate::target::DoubleWell::dw4();
        let walkers = finished(&settings(1.8), &target, 1000);
        let x = walkers.draw(1000, 0, (0, 0)).unwrap();
        for x in x.chunks_exact(8) {
            let sums = [0, 1].map(|a| x.iter().skip(a).step_by(2).sum::<f64>());
            assert!(sums.iter().all(|s| s.abs() < 1e-9), "{sums:?}");
        }
        // docs/particles.md: -22.54; 100 walkers, some of which are in other basins.
        let energy = walkers.diagnostics().figures[0];
        assert!((energy.1 + 22.54).abs() < 5.0 * energy.2.unwrap() + 0.1, "{energy:?}");
    }

    #[test]
    fn a_restored_run_continues_bit_for_bit() {
        let target = Mixture::gmm40();
        let run = |stop: usize| {
            let mut first = settings(10.0).build(&target, 300, 2).unwrap();
            (0..stop).for_each(|_| first.step().unwrap());
            let mut second = settings(10.0).build(&target, 300, 2).unwrap();
            second.restore(&first.checkpoint()).unwrap();
            while second.done() < second.total() {
                second.step().unwrap();
            }
            (second.draw(300, 0, (0, 0)).unwrap(), second.evaluations(), second.diagnostics())
        };
        let whole = run(0);
        for stop in [40, 100, 203] {
            assert_eq!(run(stop), whole, "{stop}");
        }
    }
}
