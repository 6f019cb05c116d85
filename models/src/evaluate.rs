//! Figures of a sampler of a known target, each with its floor.
//!
//! A floor is the same figure between two independent sets of exact samples: what an exact sampler scores. Sets
//! are disjoint and of one size; a figure is the mean over the sets, its `sd` the standard deviation over them. A floor
//! is a mean over more pairs of sets ([`Floors`]), with a standard error.

pub mod dimension;
mod floors;
pub mod modes;
pub mod particles;

pub use floors::Floors;

use engine::Real;
use engine::rng::Stream;

use crate::diffusion::Flow;
use crate::importance::{self, LogZ};
use crate::metrics::{self, MetricError};
use crate::target::{Target, TargetError, evaluate_over};

/// A figure, with standard deviation and floor if it has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Name in metrics.json.
    pub name: &'static str,
    /// Mean over the sets.
    pub value: f64,
    /// Standard deviation over the sets; of `nll` and of log Z, which are taken once over all samples, the standard
    /// error.
    pub sd: Option<f64>,
    /// The same between exact samples.
    pub floor: Option<f64>,
    /// The standard deviation of the floor of one pair of sets.
    pub floor_sd: Option<f64>,
    /// The standard error of the floor, a mean over pairs.
    pub floor_se: Option<f64>,
    /// Whether the value is a lower bound in expectation, and has no error: [`LogZ`] of weights with a heavy tail.
    pub lower_bound: bool,
}

impl Figure {
    /// A figure that is a single number.
    pub fn plain(name: &'static str, value: f64) -> Self {
        Self { name, value, sd: None, floor: None, floor_sd: None, floor_se: None, lower_bound: false }
    }

    /// log Z from weights: with its standard error where that can be trusted, else a lower bound.
    pub fn of_log_z(name: &'static str, log_z: LogZ, known: Option<f64>) -> Self {
        Self {
            sd: log_z.error(),
            floor: known,
            lower_bound: !log_z.trusted(),
            ..Self::plain(name, log_z.value)
        }
    }

    fn over_sets(name: &'static str, values: &[f64], floors: &[f64]) -> Self {
        // One set has no standard deviation.
        let sd = |v: &[f64]| Some(metrics::sd(v)).filter(|v| v.is_finite());
        let floor_sd = sd(floors);
        Self {
            sd: sd(values),
            floor: (!floors.is_empty()).then(|| metrics::mean(floors)),
            floor_sd,
            floor_se: floor_sd.map(|sd| sd / (floors.len() as f64).sqrt()),
            ..Self::plain(name, metrics::mean(values))
        }
    }
}

/// Why samples cannot be measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    /// A metric cannot be computed.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The target cannot be evaluated.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// States behind the error of the flow's steps.
const STEP_STATES: usize = 64;
/// What to do where no sample lies in the support.
const ASTRAY: &str = "sample longer, or check the energy where samples should lie";

/// The energies E of states (columns), +inf outside the support.
///
/// # Errors
/// Where the target cannot be evaluated, or not one of the states has a finite energy.
pub fn energies(target: &dyn Target<f64>, x: &[f64]) -> Result<Vec<f64>, TargetError> {
    let mut log_p = vec![0.0; x.len() / target.dim()];
    target.evaluate(x, &mut log_p, &mut [])?;
    TargetError::unless_inside(log_p.iter().copied(), "samples", ASTRAY)?;
    Ok(log_p.iter().map(|l| -l).collect())
}

/// Sizes of an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Number of sets.
    pub sets: usize,
    /// Samples in a set.
    pub set_size: usize,
    /// Samples of the flow for log Z.
    pub flow_samples: usize,
}

/// Exact samples as f64 columns; None if the target has no exact sampler.
pub fn exact_samples(energy: &dyn Target<f64>, n: usize, seed: u64, set: u64) -> Option<Vec<f64>> {
    let mut x = vec![0.0; n * energy.dim()];
    energy.sample(&mut Stream::new(seed, "exact samples", set, 0), &mut x).then_some(x)
}

/// Distances of `samples` from `reference` (at least `sets * set_size` columns each), and mode figures where the target
/// knows its modes, beside their floors; `outside`, the share of samples outside the support, if there are any.
///
/// # Errors
/// Too few states, numbers that are not finite, or a target that cannot be evaluated.
pub fn sample_figures(
    target: &dyn Target<f64>,
    samples: &[f64],
    reference: &[f64],
    floors: &Floors,
    sizes: Sizes,
) -> Result<Vec<Figure>, EvaluationError> {
    let d = target.dim();
    let (n, length) = (sizes.sets * sizes.set_size, sizes.set_size * d);
    for x in [samples, reference] {
        if x.len() / d < n {
            return Err(MetricError::TooFew { needed: n, found: x.len() / d }.into());
        }
    }
    let mut columns: Vec<(&'static str, Vec<f64>)> = vec![("x_w2", Vec::new())];
    for (x, r) in samples.chunks_exact(length).zip(reference.chunks_exact(length)).take(sizes.sets) {
        let transport = transport(x, r, d)?;
        for (name, value) in std::iter::once(transport).chain(set_figures(target, x, r)?) {
            match columns.iter_mut().find(|(n, _)| *n == name) {
                Some((_, values)) => values.push(value),
                None => columns.push((name, vec![value])),
            }
        }
    }
    // Where all samples lie inside the support, there is nothing to say of it.
    columns.retain(|(name, values)| *name != OUTSIDE || values.iter().any(|v| *v > 0.0));
    Ok(columns.iter().map(|(name, v)| Figure::over_sets(name, v, floors.of(name))).collect())
}

/// The share of samples with an infinite energy.
const OUTSIDE: &str = "outside";

/// X-W2 of a set against another.
fn transport(x: &[f64], r: &[f64], d: usize) -> Result<(&'static str, f64), MetricError> {
    Ok(("x_w2", metrics::w2(x, r, d)?))
}

/// All figures of a set against another but X-W2, whose transport costs far more.
fn set_figures(
    target: &dyn Target<f64>,
    x: &[f64],
    r: &[f64],
) -> Result<Vec<(&'static str, f64)>, EvaluationError> {
    let d = target.dim();
    // Energies are compared inside the support.
    let mut inside = energies(target, x)?;
    inside.retain(|e| e.is_finite());
    let mut figures = vec![(OUTSIDE, 1.0 - inside.len() as f64 * d as f64 / x.len() as f64)];
    figures.push(("e_w2", metrics::w2_1d(&inside, &energies(target, r)?)?));
    let Some(modes) = target.modes() else { return Ok(figures) };
    if d == 2 {
        figures.push(("tv", metrics::tv_2d(x, r, -50.0, 50.0, 200)?));
    }
    let m = metrics::mode_report(x, &modes, metrics::covering_radius(d))?;
    figures.extend([
        ("modes_found", m.found as f64),
        ("in_mode", m.in_mode),
        ("mode_kl", m.kl),
        ("mode_chi2", m.chi2),
    ]);
    Ok(figures)
}

/// Likelihood of exact samples under the model's flow, and log Z ([`LogZ`]: a lower bound where k-hat is 0.7 or more),
/// ESS and k-hat from the flow's own samples weighted by w = exp(-E) / q, with the estimated error of log q that comes
/// from the flow's steps.
///
/// Energies are taken in double precision, whatever that of the flow: in single precision an energy of 1e8 is known to
/// 8 only, and a constant of that size would ruin log Z.
///
/// # Errors
/// Where the target cannot be evaluated, or no sample of the flow has a finite energy.
pub fn flow_figures<T: Real>(
    target: &dyn Target<f64>,
    exact: Option<(&[T], &[f64])>,
    flow: &Flow<T>,
    sizes: Sizes,
    seed: u64,
) -> Result<Vec<Figure>, TargetError> {
    let mut figures = Vec::new();
    if let Some((x, energies)) = exact {
        let nll: Vec<f64> = flow.log_density(x)?.iter().map(|l| -l).collect();
        let error = |v: &[f64]| metrics::sd(v) / (v.len() as f64).sqrt();
        // The floor is the entropy, estimated on the same samples; a target that can be sampled exactly has a known Z.
        let entropy = target.log_z().map(|log_z| metrics::mean(energies) + log_z);
        figures.push(Figure {
            sd: Some(error(&nll)),
            floor: entropy,
            floor_sd: Some(error(energies)),
            floor_se: Some(error(energies)),
            ..Figure::plain("nll", metrics::mean(&nll))
        });
    }
    let (x, log_q) = flow.sample(sizes.flow_samples, (seed, 0))?;
    let mut log_p = vec![0.0; log_q.len()];
    let double: Vec<f64> = x.iter().map(|x| x.f64()).collect();
    evaluate_over(flow.ranks, target, &double, &mut log_p, &mut [])?;
    TargetError::unless_inside(log_p.iter().copied(), "samples of the flow", ASTRAY)?;
    let log_w: Vec<f64> = log_p.iter().zip(&log_q).map(|(p, q)| p - q).collect();
    let log_z = LogZ::of(&log_w);
    figures.push(Figure::of_log_z("log_z", log_z, target.log_z()));
    figures.push(Figure::plain("ess", importance::normalised_ess(&log_w)));
    figures.push(Figure::plain("khat", log_z.k_hat));
    let few = &x[..x.len().min(STEP_STATES * target.dim())];
    figures.push(Figure::plain("flow_step_error", flow.step_error(few)?));
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Mixture;

    #[test]
    fn exact_samples_score_their_floors_and_misplaced_ones_do_not() {
        let target = Mixture::gmm40();
        let sizes = Sizes { sets: 8, set_size: 300, flow_samples: 0 };
        let x = exact_samples(&target, 2400, 1, 7).unwrap();
        let exact = |set| exact_samples(&target, 2400, 2, set).unwrap();
        let reference = [exact(0), exact(1)].concat();
        let halves = reference.split_at(reference.len() / 2);
        let floors = Floors::between(&target, halves, 300).unwrap();
        let figures = sample_figures(&target, &x, &reference, &floors, sizes).unwrap();
        let named = |figures: &[Figure], name: &str| *figures.iter().find(|f| f.name == name).unwrap();
        let error = |f: Figure| f.sd.unwrap().hypot(f.floor_sd.unwrap()) / 8f64.sqrt();
        for name in ["x_w2", "e_w2", "tv", "in_mode", "mode_kl", "mode_chi2"] {
            let f = named(&figures, name);
            let error = error(f);
            assert!((f.value - f.floor.unwrap()).abs() < 4.0 * error, "{f:?}");
        }
        // Folded into one quarter of the plane: modes are missed, and all distances tell.
        let half: Vec<f64> = x.iter().map(|v| if *v < 0.0 { -*v } else { *v }).collect();
        let figures = sample_figures(&target, &half, &reference, &floors, sizes).unwrap();
        for name in ["x_w2", "e_w2", "tv", "mode_kl", "mode_chi2"] {
            let f = named(&figures, name);
            assert!(f.value > f.floor.unwrap() + 4.0 * error(f), "{f:?}");
        }
        assert!(sample_figures(&target, &x[..100], &reference, &floors, sizes).is_err());
    }

    #[test]
    fn samples_outside_the_support_are_counted_and_leave_the_other_figures() {
        let target = crate::target::UniformBox { dim: 2 };
        let sizes = Sizes { sets: 2, set_size: 100, flow_samples: 0 };
        let exact = |set| exact_samples(&target, 400, 2, set).unwrap();
        let reference = exact(0);
        let halves = reference.split_at(400);
        let floors = Floors::between(&target, halves, 100).unwrap();
        let mut x = exact(1)[..400].to_vec();
        let names = |x: &[f64]| -> Vec<(&'static str, f64)> {
            let figures = sample_figures(&target, x, &reference, &floors, sizes).unwrap();
            figures.iter().map(|f| (f.name, f.value)).collect()
        };
        assert!(names(&x).iter().all(|(name, _)| *name != "outside"));
        // Five of the first set, fifteen of the second.
        x.iter_mut().step_by(2).take(5).for_each(|v| *v = 1.5);
        x[200..].iter_mut().step_by(2).take(15).for_each(|v| *v = -1.5);
        let found = names(&x);
        let outside = found.iter().find(|(name, _)| *name == "outside").unwrap().1;
        assert!((outside - 0.1).abs() < 1e-12 && found.contains(&("e_w2", 0.0)), "{found:?}");
        assert!(found.iter().any(|(name, v)| *name == "x_w2" && *v > 0.0), "{found:?}");
    }
}
