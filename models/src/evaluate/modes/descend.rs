//! Down the energy to the minimum of a basin, many states at once.
//!
//! L-BFGS (Nocedal, Mathematics of Computation 35, 1980) with two rules that keep a state in its basin, as in searches
//! of energy landscapes (Wales, Energy Landscapes, 2003): a step is at most twice as long as the one before, the first
//! one so short that it lowers the energy by half a k_B T; and it is taken back where the energy has risen, or rises
//! along it at its end nearly as steeply as it fell at its beginning.
//!
//! A state is at its minimum where g^T H g < 1e-8, g the gradient and H the inverse of the Hessian as L-BFGS has it:
//! the squared distance from the minimum in widths of the mode, whatever the units of the coordinates.

use std::collections::VecDeque;

use crate::target::{Target, TargetError};

/// Steps that H is made from.
const MEMORY: usize = 10;
/// Evaluations of a descent, at most.
const MOST: usize = 300;
/// By how much the first step may lower the energy, in k_B T.
const FIRST: f64 = 0.5;
/// The longest step, in lengths of the one before.
const GROWTH: f64 = 2.0;
/// g^T H g at a minimum, and where nothing better can be had of an energy that is not exact to the last digits.
const MINIMUM: [f64; 2] = [1e-8, 1e-4];
/// The share of the decrease by the slope that a step must bring (Armijo), and the share of the slope at its beginning
/// that it may have at its end, upwards.
const SLOPES: [f64; 2] = [1e-4, 0.9];
/// Steps back in a row, at most: by then a step is 1e-12 of its length.
const BACK: usize = 20;
/// Numbers that the descents under way hold, about.
const HELD: usize = 4_000_000;

/// Where descents have come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ends {
    /// States, columns.
    pub states: Vec<f64>,
    /// Their energies; +inf for starts outside the support, which stay where they are.
    pub energies: Vec<f64>,
    /// Whether each is at a minimum.
    pub finished: Vec<bool>,
    /// Evaluations of all.
    pub evaluations: u64,
}

impl Ends {
    /// Those of some of the descents.
    pub(super) fn select(&self, d: usize, which: &[usize]) -> Self {
        Self {
            states: crate::metrics::select(&self.states, d, which),
            energies: which.iter().map(|i| self.energies[*i]).collect(),
            finished: which.iter().map(|i| self.finished[*i]).collect(),
            evaluations: self.evaluations,
        }
    }
}

/// Moves each column of `starts` to the minimum of its basin.
///
/// # Errors
/// Where the target cannot be evaluated.
pub fn descend(target: &dyn Target<f64>, starts: &[f64]) -> Result<Ends, TargetError> {
    let d = target.dim();
    let mut ends = Ends::default();
    let at_once = (HELD / (d * (2 * MEMORY + 5))).clamp(1, 4096);
    for starts in starts.chunks(at_once * d) {
        let mut walks: Vec<Walk> = starts.chunks_exact(d).map(Walk::new).collect();
        loop {
            let trials: Vec<f64> =
                walks.iter().filter(|w| w.state == State::Walking).flat_map(Walk::trial).collect();
            if trials.is_empty() {
                break;
            }
            let n = trials.len() / d;
            let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; n * d]);
            target.evaluate(&trials, &mut log_p, &mut score)?;
            ends.evaluations += n as u64;
            score.iter_mut().for_each(|s| *s = -*s);
            let walking = walks.iter_mut().filter(|w| w.state == State::Walking);
            for ((walk, log_p), gradient) in walking.zip(log_p).zip(score.chunks_exact(d)) {
                walk.take(-log_p, gradient);
            }
        }
        for walk in walks {
            ends.states.extend(walk.x);
            ends.energies.push(walk.energy);
            ends.finished.push(walk.state == State::Finished);
        }
    }
    Ok(ends)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Walking,
    Finished,
    /// At no minimum, or one that cannot be told.
    Stopped,
}

/// One descent.
struct Walk {
    x: Vec<f64>,
    energy: f64,
    gradient: Vec<f64>,
    /// Steps s, changes of the gradient y, and 1 / s^T y, the last one at the end.
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    /// The step that is tried.
    step: Vec<f64>,
    /// The energy's slope along it: negative.
    slope: f64,
    /// The longest step that may be tried next.
    reach: f64,
    /// g^T H g.
    left: f64,
    evaluations: usize,
    back: usize,
    state: State,
}

impl Walk {
    fn new(x: &[f64]) -> Self {
        Self {
            x: x.to_vec(),
            energy: f64::INFINITY,
            gradient: Vec::new(),
            pairs: VecDeque::new(),
            // The first trial is the start itself.
            step: vec![0.0; x.len()],
            slope: 0.0,
            reach: 0.0,
            left: f64::INFINITY,
            evaluations: 0,
            back: 0,
            state: State::Walking,
        }
    }

    fn trial(&self) -> impl Iterator<Item = f64> {
        self.x.iter().zip(&self.step).map(|(x, s)| x + s)
    }

    /// Hears energy and gradient at the trial.
    fn take(&mut self, energy: f64, gradient: &[f64]) {
        self.evaluations += 1;
        if self.gradient.is_empty() {
            self.energy = energy;
            self.gradient = gradient.to_vec();
            self.reach = FIRST / norm(gradient);
            if energy.is_finite() {
                self.aim()
            } else {
                self.state = State::Stopped
            }
            return;
        }
        let slope = dot(gradient, &self.step);
        let [decrease, rise] = SLOPES;
        // What rounding leaves of two equal energies is no rise.
        let rounding = 4.0 * f64::EPSILON * self.energy.abs();
        let is_lower = energy <= self.energy + decrease * self.slope + rounding;
        if !is_lower || slope > -rise * self.slope {
            self.shorten(energy, slope);
            return;
        }
        let change: Vec<f64> = gradient.iter().zip(&self.gradient).map(|(new, old)| new - old).collect();
        let (curvature, length) = (dot(&self.step, &change), norm(&self.step));
        if curvature > 1e-10 * length * norm(&change) {
            if self.pairs.len() == MEMORY {
                self.pairs.pop_front();
            }
            self.pairs.push_back((self.step.clone(), change, 1.0 / curvature));
        }
        self.x = self.trial().collect();
        self.energy = energy;
        self.gradient.copy_from_slice(gradient);
        self.reach = GROWTH * length;
        self.back = 0;
        self.aim();
    }

    /// Tries a shorter step in the same direction.
    fn shorten(&mut self, energy: f64, slope: f64) {
        self.back += 1;
        let share = if !energy.is_finite() {
            0.25
        } else if energy > self.energy {
            // The lowest point of the parabola through both energies and the first slope.
            -0.5 * self.slope / (energy - self.energy - self.slope)
        } else {
            // Where slopes that change evenly are 0.
            self.slope / (self.slope - slope)
        };
        let share = if share.is_finite() { share.clamp(0.1, 0.5) } else { 0.25 };
        self.step.iter_mut().for_each(|s| *s *= share);
        self.slope *= share;
        if self.back == BACK || self.evaluations >= MOST {
            self.stop();
        }
    }

    /// Chooses the next step, or ends where there is none.
    fn aim(&mut self) {
        let along = self.downhill();
        let length = norm(&along);
        self.slope = dot(&self.gradient, &along);
        self.left = -self.slope;
        let is_known = !self.pairs.is_empty();
        if length == 0.0 || (is_known && self.left < MINIMUM[0]) {
            self.state = State::Finished;
            return;
        }
        if self.evaluations >= MOST || !length.is_finite() || self.slope.is_nan() || self.slope >= 0.0 {
            return self.stop();
        }
        // Nothing is known of the length before there is a pair.
        let longest = self.reach / length;
        let share = if is_known { longest.min(1.0) } else { longest };
        self.step = along.iter().map(|s| s * share).collect();
        self.slope *= share;
    }

    fn stop(&mut self) {
        let is_close = !self.pairs.is_empty() && self.left < MINIMUM[1];
        self.state = if is_close { State::Finished } else { State::Stopped };
    }

    /// -H g, in two loops over the pairs.
    fn downhill(&self) -> Vec<f64> {
        let mut q: Vec<f64> = self.gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for (s, y, rho) in self.pairs.iter().rev() {
            let share = rho * dot(s, &q);
            q.iter_mut().zip(y).for_each(|(q, y)| *q -= share * y);
            shares.push(share);
        }
        if let Some((_, y, rho)) = self.pairs.back() {
            let scale = 1.0 / (rho * dot(y, y));
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for ((s, y, rho), share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let other = rho * dot(y, &q);
            q.iter_mut().zip(s).for_each(|(q, s)| *q += (share - other) * s);
        }
        q
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
