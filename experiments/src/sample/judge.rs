//! Evidence for the verdict: the run's samples beside independent explorations of the target.

use models::audit::{self, Audit, Evidence, Explorations, Judged, Verdict};
use models::evaluate::{Figure, energies};
use models::importance::{LogZ, pareto_k_hat, tempered};
use models::metrics::{mean, sd};
use models::target::own::has_unchecked_gradient;
use models::target::{Geometry, TargetError, check_gradient};

use super::measure::Measurement;

/// Random numbers of explorations: others than those of the run.
const AUDIT: u64 = 1 << 58;
/// Samples at which the gradient is held against differences.
const GRADIENTS: usize = 4;
/// Coordinates up to which that is cheap: 14 energies for each.
const CHEAP: usize = 256;
/// By how much the errors of sequential Monte Carlo's particles exceed those of independent ones, which share ancestors.
const ANCESTORS: f64 = 2.0;

/// What is judged besides the samples.
pub(super) struct Said<'a> {
    pub samples: &'a [f64],
    pub energies: &'a [f64],
    /// Of sum 1.
    pub weights: &'a [f64],
    pub chains: Option<usize>,
    pub figures: &'a [Figure],
    pub failures: &'a [String],
}

/// What came of it.
pub(super) struct Judgement {
    pub verdict: Verdict,
    /// Energies that it took.
    pub evaluations: u64,
    /// Why there was no exploration, where one was wanted.
    pub trouble: Option<String>,
    /// Whether the file of the target asks that its gradient is not checked.
    pub unchecked: bool,
}

impl Measurement<'_> {
    /// The verdict on the samples of a run; what goes wrong on the way costs the verdict, not the run.
    pub(super) fn judge(&self, said: &Said<'_>) -> Judgement {
        let e = &self.config.evaluation;
        let target = self.target.double();
        let d = target.dim();
        let seed = self.key() ^ AUDIT;
        let mut evaluations = 0;
        let (explored, trouble) = match audit::explore(target, e.audit, seed) {
            Ok(explored) => (explored, None),
            Err(why) => (None, Some(why.to_string())),
        };
        evaluations += explored.as_ref().map_or(0, |found| found.evaluations);
        let trouble = trouble.or_else(|| {
            let lost = explored.as_ref().is_some_and(|found| found.states.is_empty());
            lost.then(|| "short chains do not find how wide it is".to_string())
        });
        let audit = explored.as_ref().filter(|found| !found.states.is_empty()).and_then(|found| {
            let theirs: Result<Vec<Vec<f64>>, TargetError> =
                found.states.iter().map(|x| energies(target, x)).collect();
            let theirs = theirs.ok()?;
            evaluations += theirs.iter().map(Vec::len).sum::<usize>() as u64;
            self.compared(said, found, &theirs, seed)
        });
        let value = |name: &str| said.figures.iter().find(|f| f.name == name);
        let route = |name: &'static str, figure: &str| {
            let f = value(figure)?;
            let k_hat = if f.lower_bound { f64::NAN } else { 0.0 };
            Some((name, LogZ { value: f.value, standard_error: f.sd.unwrap_or(f64::NAN), k_hat }))
        };
        let routes = [
            ("paths", "trajectory_log_z"),
            ("populations", "smc_log_z"),
            ("the flow or the method", "log_z"),
        ];
        let evidence = Evidence {
            samples: said.energies.len(),
            weights: value("trajectory_ess")
                .zip(value("trajectory_khat"))
                .map(|(share, k_hat)| (share.value, k_hat.value)),
            log_z: routes.into_iter().filter_map(|(name, figure)| route(name, figure)).collect(),
            failures: said.failures.to_vec(),
            // Raw samples have a sentence of their own.
            outside: 0.0,
            tail: tail(said.samples, d),
            gradient: self.gradient(said, &mut evaluations),
            audit,
            // Particles are held against a reference of parallel tempering.
            elsewhere: trouble.is_some()
                || self.reference.is_some() && matches!(target.geometry(), Geometry::Particles(_)),
        };
        Judgement { verdict: Verdict::of(&evidence), evaluations, trouble, unchecked: self.unchecked() }
    }

    fn compared(
        &self,
        said: &Said<'_>,
        found: &Explorations,
        theirs: &[Vec<f64>],
        seed: u64,
    ) -> Option<Audit> {
        let &Said { samples: states, energies, weights, chains, .. } = said;
        let judged = Judged { states, weights, energies, chains, inflation: self.inflation() };
        let comparison = audit::compare(judged, found, theirs, seed)?;
        Some(Audit { comparison, log_z: found.log_z, may_judge: found.may_judge() })
    }

    /// A factor of the errors of means over the samples.
    pub(super) fn inflation(&self) -> f64 {
        if self.config.method.name() == "smc" { ANCESTORS } else { 1.0 }
    }

    fn unchecked(&self) -> bool {
        let own = &self.config.target;
        own.name == "own" && has_unchecked_gradient(own.text("file"))
    }

    /// What is wrong with the gradient at a few samples.
    fn gradient(&self, said: &Said<'_>, evaluations: &mut u64) -> Option<String> {
        let target = self.target.double();
        let d = target.dim();
        if self.config.evaluation.audit == 0 || d > CHEAP || self.unchecked() {
            return None;
        }
        let inside = said.samples.chunks_exact(d).zip(said.energies).filter(|(_, e)| e.is_finite());
        let few: Vec<f64> = inside.take(GRADIENTS).flat_map(|(x, _)| x.iter().copied()).collect();
        *evaluations += (few.len() * 14 + few.len() / d) as u64;
        match check_gradient(target, &few) {
            Err(TargetError::Gradient(what)) => Some(what),
            _ => None,
        }
    }
}

/// Weights of sum 1.
pub(super) fn normalised(log_w: &[f64], n: usize) -> Vec<f64> {
    if log_w.is_empty() {
        return vec![1.0 / n.max(1) as f64; n];
    }
    let w = tempered(log_w, 1.0, 0.0);
    let total: f64 = w.iter().sum();
    w.iter().map(|w| w / total).collect()
}

/// The tail shape of the distances of states from their mean, in units of the widths of the coordinates: k of a
/// generalised Pareto distribution, above 1/2 where the variance is not finite.
fn tail(x: &[f64], d: usize) -> f64 {
    let axis = |a: usize| x.iter().skip(a).step_by(d).copied().collect::<Vec<f64>>();
    let scales: Vec<[f64; 2]> = (0..d).map(axis).map(|axis| [mean(&axis), sd(&axis)]).collect();
    let distance = |x: &[f64]| -> f64 {
        let of = |(x, [m, s]): (&f64, &[f64; 2])| if *s > 0.0 { ((x - m) / s).powi(2) } else { 0.0 };
        0.5 * x.iter().zip(&scales).map(of).sum::<f64>().ln()
    };
    pareto_k_hat(&x.chunks_exact(d).map(distance).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::rng::Stream;

    #[test]
    fn tails_of_gaussians_are_light_and_those_of_a_cauchy_distribution_heavy() {
        let mut x = vec![0.0; 20_000];
        Stream::new(1, "tail", 0, 0).fill_normal(&mut x);
        assert!(tail(&x, 2) < 0.2, "{}", tail(&x, 2));
        // A ratio of two normals has tail shape 1.
        let ratio: Vec<f64> = x.chunks(2).map(|x| x[0] / x[1]).collect();
        assert!((tail(&ratio, 1) - 1.0).abs() < 0.2, "{}", tail(&ratio, 1));
    }

    #[test]
    fn weights_have_the_sum_one_and_missing_ones_are_equal() {
        assert_eq!(normalised(&[], 4), [0.25; 4]);
        let w = normalised(&[1000.0, 1000.0 + 3f64.ln()], 2);
        assert!((w[0] - 0.25).abs() < 1e-12 && (w[1] - 0.75).abs() < 1e-12);
    }
}
