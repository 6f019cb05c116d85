//! What importance weights can do at best, in any dimension: effective shares for exact scores.

use engine::ranks::Solo;
use engine::rng::Stream;

use crate::diffusion::{DenoisingError, ReverseProcess, Schedule, ScoreModel};
use crate::importance::{LogZ, normalised_ess};
use crate::sampler::iwsm::weight_report::{self, weight_levels};
use crate::sampler::iwsm::{Buffer, Config, Proposal};
use crate::score::MixtureScore;
use crate::target::{Geometry, Mixture, Target, TargetError, two_wells};

/// Sizes of a study.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    /// Exact samples in the buffer.
    pub buffer: usize,
    /// Noise levels at which marginal weights are looked at, and states at each.
    pub levels: (usize, usize),
    /// Draws behind the density of a state.
    pub draws: usize,
    /// Steps of the reverse SDE.
    pub steps: usize,
    /// Paths: populations, and states in each.
    pub paths: (usize, usize),
    /// Relative error of the wells' widths in the wrong model, whose wells also have equal weights.
    pub wrong: f64,
    /// Seed.
    pub seed: u64,
}

/// Effective shares of weights in one dimension, and log Z by the weights of a wrong model's paths; Z = 1.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Of marginal weights p_t / proposal with K draws, their mean over noise levels.
    pub marginal: f64,
    /// Of their square roots.
    pub tempered: f64,
    /// Of marginal weights with exact densities, its mean over noise levels.
    pub exact: f64,
    /// The least of those levels: at small noise the buffer's states are too few to cover the target.
    pub least_exact: f64,
    /// Of paths of the exact score, with the least variances of reverse steps.
    pub least: f64,
    /// The same with tuned variances.
    pub path: f64,
    /// Of paths of the wrong model's score, with tuned variances, and log Z by them.
    pub wrong: (f64, LogZ),
    /// By sequential Monte Carlo along such paths: share and log Z with its standard error.
    pub smc: (f64, (f64, f64)),
}

/// Noise levels, and the standard deviation of the states.
const SCHEDULE: Schedule = Schedule { sigma_min: 0.02, sigma_max: 20.0 };
const SCALE: f64 = 2.0;
/// States on which variances are tuned.
const TUNED: usize = 1024;

/// Effective shares for two wells of unequal weight and stiffness ([`two_wells`]) in `dim` dimensions: 0.875 of the mass
/// in a well of width 0.24, the rest in one of width 0.3, four apart. The buffer has exact samples, and scores are
/// exact: of the target itself, or of a mixture that is not quite it.
///
/// # Errors
/// If there is no dimension.
pub fn shares(dim: usize, study: &Study) -> Result<Shares, TargetError> {
    let target = two_wells(dim, 0.875, [0.24, 0.3], 4.0)?;
    let widths = [0.24, 0.3].map(|w| w * (1.0 + study.wrong));
    let wrong = MixtureScore(two_wells(dim, 0.5, widths, 4.0)?);
    let exact = MixtureScore(target.clone());
    let [marginal, tempered, exact_density, least_exact] = of_marginals(&target, study)?;
    let start = DenoisingError::gaussian(Geometry::Euclidean(dim), SCHEDULE, SCALE);
    let of_paths = |model: &MixtureScore, error: &DenoisingError| -> Result<Vec<f64>, TargetError> {
        let n = study.paths.0 * study.paths.1;
        let (mut x, mut log_w, mut log_p) = (vec![0.0; n * dim], vec![0.0; n], vec![0.0; n]);
        process(model, error).paths(study.steps, (study.seed, 1), &mut x, &mut log_w);
        target.evaluate(&x, &mut log_p, &mut [])?;
        log_w.iter_mut().zip(&log_p).for_each(|(w, p)| *w += p);
        Ok(log_w)
    };
    let tuned = tuned_on_exact_samples(&target, &exact, &start, study)?;
    // The same levels, so that the variances alone differ.
    let mut least = DenoisingError::gaussian(Geometry::Euclidean(dim), SCHEDULE, 1e-6);
    least.restore_spacing(tuned.spacing().shares());
    let tuned_wrong = tuned_on_exact_samples(&target, &wrong, &start, study)?;
    let by_wrong = of_paths(&wrong, &tuned_wrong)?;
    let reverse = process(&wrong, &tuned_wrong);
    let lookahead = reverse.lookahead(&target, study.steps, TUNED, (study.seed, 2))?.0;
    let smc = reverse.populations(&target, &lookahead, study.steps, study.paths, (study.seed, 3))?;
    Ok(Shares {
        marginal,
        tempered,
        exact: exact_density,
        least_exact,
        least: normalised_ess(&of_paths(&exact, &least)?),
        path: normalised_ess(&of_paths(&exact, &tuned)?),
        wrong: (normalised_ess(&by_wrong), LogZ::of(&by_wrong)),
        smc: (smc.share(), smc.log_z()),
    })
}

fn process<'a>(model: &'a MixtureScore, error: &'a DenoisingError) -> ReverseProcess<'a, f64> {
    let model = ScoreModel { network: model, params: &[] };
    ReverseProcess { model, schedule: SCHEDULE, prior_scale: SCHEDULE.sigma_max.hypot(SCALE), error }
}

/// Variances that are tuned on exact samples.
fn tuned_on_exact_samples(
    target: &Mixture,
    model: &MixtureScore,
    start: &DenoisingError,
    study: &Study,
) -> Result<DenoisingError, TargetError> {
    let (mut states, mut log_p) = (vec![0.0; TUNED * Target::<f64>::dim(target)], vec![0.0; TUNED]);
    target.sample(&mut Stream::new(study.seed, "states to tune on", 0, 0), &mut states);
    target.evaluate(&states, &mut log_p, &mut [])?;
    let key = (study.seed, 0);
    let fitted = start.fitted(process(model, start).model, SCHEDULE, &states, 1.0, key);
    Ok(process(model, &fitted).tuned(&states, &log_p, study.steps, key))
}

/// Means over noise levels of the shares of marginal weights: plain, their square roots, with exact densities; and the
/// least of the last.
fn of_marginals(target: &Mixture, study: &Study) -> Result<[f64; 4], TargetError> {
    let geometry = Target::<f64>::geometry(target);
    let mut states = vec![0.0; study.buffer * geometry.dim()];
    target.sample(&mut Stream::new(study.seed, "buffer", 0, 0), &mut states);
    let buffer = Buffer::new(geometry.dim(), study.buffer, false);
    let mut proposal = Proposal::<f64>::new(geometry, buffer, (SCALE, 0.0), study.seed);
    proposal.buffer.replace(&states);
    let (levels, states_at) = study.levels;
    let sizes = weight_report::Sizes { levels, states: states_at, draws: study.draws };
    let weights = Config::default().weights;
    let rows = weight_levels(&Solo, target, (&proposal, &weights), SCHEDULE, sizes, (study.seed, 0))?;
    let mean = |of: fn(&weight_report::WeightLevel) -> f64| rows.iter().map(of).sum::<f64>() / levels as f64;
    let (mut exact, mut x) = (Vec::with_capacity(levels), vec![0.0; states_at * geometry.dim()]);
    let (mut log_p, mut log_q) = (vec![0.0; states_at], vec![0.0; states_at]);
    for (level, row) in rows.iter().enumerate() {
        let mut stream = Stream::new(study.seed, "exact densities", 0, level as u64);
        let sigmas = vec![row.sigma; states_at];
        proposal.draw_evenly(&sigmas, &mut stream, &mut x);
        proposal.log_density(&x, &sigmas, &weights, &mut stream, &mut log_q);
        target.noised(row.sigma).evaluate(&x, &mut log_p, &mut [])?;
        exact.push(normalised_ess(&log_p.iter().zip(&log_q).map(|(p, q)| p - q).collect::<Vec<f64>>()));
    }
    let least = exact.iter().copied().fold(1.0, f64::min);
    Ok([mean(|l| l.plain), mean(|l| l.root), exact.iter().sum::<f64>() / levels as f64, least])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: Study = Study {
        buffer: 2000,
        levels: (6, 200),
        draws: 100,
        steps: 60,
        paths: (10, 200),
        wrong: 0.1,
        seed: 1,
    };

    #[test]
    fn shares_of_marginal_weights_fall_with_the_dimension_and_those_of_exact_paths_hardly() {
        let [low, high] = [2, 32].map(|d| shares(d, &STUDY).unwrap());
        assert!(low.marginal > 0.5 && high.marginal < 0.25, "{low:?} {high:?}");
        assert!(low.path > 0.8 && high.path > 0.5, "{low:?} {high:?}");
        assert!(high.least < 0.5 * high.path, "{high:?}");
        for s in [low, high] {
            assert!(s.tempered > s.marginal && s.exact > s.marginal && s.least_exact < s.exact, "{s:?}");
        }
    }

    #[test]
    fn weights_of_a_wrong_model_find_z() {
        let s = shares(6, &STUDY).unwrap();
        assert!(
            s.wrong.1.value.abs() < 5.0 * s.wrong.1.standard_error && s.wrong.1.standard_error < 0.1,
            "{s:?}"
        );
        let (value, error) = s.smc.1;
        assert!(value.abs() < 5.0 * error && error < 0.1, "{s:?}");
    }
}
