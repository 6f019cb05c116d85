//! Convergence and effective sample size of Markov chains (Vehtari et al. 2021).

use rustfft::FftPlannerScalar;
use rustfft::num_complex::Complex;

use super::normal::quantile;

/// Lags whose covariances are summed one by one; those of longer ones come from a Fourier transform, because chains that
/// are stuck need all of them.
const DIRECT: usize = 256;

/// Convergence diagnostics of several chains of one quantity: Vehtari, Gelman, Simpson, Carpenter and Buerkner,
/// "Rank-normalization, folding, and localization" (Bayesian Analysis 16, 2021).
///
/// With M chains of N draws, W the mean of the variances within chains and B / N the variance of their means,
/// var+ = (N - 1) W / N + B / N:
///
/// - R-hat = sqrt(var+ / W), of chains split in halves;
/// - ESS = M N / (-1 + 2 sum_t P_t), P_t = rho_2t + rho_(2t+1) truncated at the first negative one and made
///   monotone (Geyer 1992), with rho_t = 1 - (W - mean_m s_m^2 rho_(t,m)) / var+ the autocorrelation at lag t of
///   all chains.
///
/// Both are computed from normal quantiles of the ranks, and so need no moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convergence {
    /// Rank-normalised split R-hat: the larger of those of the values and of their distances from the median.
    pub r_hat: f64,
    /// Effective sample size of the rank-normalised values.
    pub bulk_ess: f64,
    /// The smaller effective sample size of the indicators of values below the 5 % and the 95 % quantile.
    pub tail_ess: f64,
}

/// An effective sample size and the integrated autocorrelation time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ess {
    /// Number of independent draws whose mean has the same variance.
    pub size: f64,
    /// Draws per independent draw.
    pub time: f64,
}

/// All three figures; NaN for fewer than 4 draws a chain or a constant quantity.
pub fn convergence(chains: &[Vec<f64>]) -> Convergence {
    let all: Vec<f64> = chains.concat();
    if all.iter().any(|v| !v.is_finite()) || chains.iter().any(|c| c.len() < 4) || all.is_empty() {
        return Convergence { r_hat: f64::NAN, bulk_ess: f64::NAN, tail_ess: f64::NAN };
    }
    let split = halves(chains);
    let mut sorted = all;
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |p: f64| sorted[((sorted.len() - 1) as f64 * p).round() as usize];
    let (low, middle, high) = (at(0.05), at(0.5), at(0.95));
    let apply = |f: &dyn Fn(f64) -> f64| -> Vec<Vec<f64>> {
        split.iter().map(|c| c.iter().map(|v| f(*v)).collect()).collect()
    };
    let ranked = rank_normalised(&split);
    let folded = rank_normalised(&apply(&|v| (v - middle).abs()));
    let below = |limit: f64| ess(&apply(&|v| f64::from(u8::from(v <= limit)))).size;
    Convergence {
        r_hat: r_hat(&ranked).max(r_hat(&folded)),
        bulk_ess: ess(&ranked).size,
        tail_ess: below(low).min(below(high)),
    }
}

/// Each chain split in halves, without the middle draw of an odd one.
fn halves(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    chains.iter().flat_map(|c| [c[..c.len() / 2].to_vec(), c[c.len().div_ceil(2)..].to_vec()]).collect()
}

/// Each value replaced by the normal quantile of (rank - 3/8) / (S + 1/4) among all S values; ties share
/// their mean rank.
pub fn rank_normalised(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut order: Vec<(usize, usize)> =
        chains.iter().enumerate().flat_map(|(m, c)| (0..c.len()).map(move |t| (m, t))).collect();
    order.sort_unstable_by(|a, b| chains[a.0][a.1].total_cmp(&chains[b.0][b.1]));
    let total = order.len() as f64;
    let mut out: Vec<Vec<f64>> = chains.iter().map(|c| vec![0.0; c.len()]).collect();
    let mut start = 0;
    for tie in order.chunk_by(|a, b| chains[a.0][a.1] == chains[b.0][b.1]) {
        let rank = start as f64 + 0.5 * (tie.len() + 1) as f64;
        let z = quantile((rank - 0.375) / (total + 0.25));
        tie.iter().for_each(|&(m, t)| out[m][t] = z);
        start += tie.len();
    }
    out
}

/// (W, var+), and each chain's mean.
fn variances(chains: &[Vec<f64>]) -> (f64, f64, Vec<f64>) {
    let (m, n) = (chains.len() as f64, chains[0].len() as f64);
    let means: Vec<f64> = chains.iter().map(|c| c.iter().sum::<f64>() / n).collect();
    let square = |c: &Vec<f64>, mean: f64| c.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let within = chains.iter().zip(&means).map(|(c, mean)| square(c, *mean)).sum::<f64>() / (m * (n - 1.0));
    let grand = means.iter().sum::<f64>() / m;
    let between = if m > 1.0 { square(&means, grand) / (m - 1.0) } else { 0.0 };
    (within, (n - 1.0) / n * within + between, means)
}

fn r_hat(chains: &[Vec<f64>]) -> f64 {
    if chains.is_empty() || chains.iter().any(|c| c.len() < 2) {
        return f64::NAN;
    }
    let (within, total, _) = variances(chains);
    (total / within).sqrt()
}

/// The sum over chains of the covariances at a lag.
fn covariance(chains: &[Vec<f64>], means: &[f64], lag: usize) -> f64 {
    let of = |c: &[f64], mean: f64| {
        c.iter().zip(&c[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / (c.len() - 1) as f64
    };
    chains.iter().zip(means).map(|(c, mean)| of(c, *mean)).sum()
}

/// The same at all lags: the Fourier transform of the squares of that of the chains, padded so that no end meets the
/// other.
fn covariances(chains: &[Vec<f64>], means: &[f64]) -> Vec<f64> {
    let n = chains[0].len();
    let size = (2 * n).next_power_of_two();
    let mut planner = FftPlannerScalar::new();
    let (forward, back) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
    let (mut power, mut one) = (vec![Complex::default(); size], Vec::with_capacity(size));
    for (chain, mean) in chains.iter().zip(means) {
        one.clear();
        one.extend(chain.iter().map(|v| Complex::from(v - mean)));
        one.resize(size, Complex::default());
        forward.process(&mut one);
        power.iter_mut().zip(&one).for_each(|(sum, v)| *sum += v.norm_sqr());
    }
    back.process(&mut power);
    let scale = (size * (n - 1)) as f64;
    power[..n].iter().map(|v| v.re / scale).collect()
}

/// The effective sample size of chains of equal length, without rank normalisation.
pub fn ess(chains: &[Vec<f64>]) -> Ess {
    let nothing = Ess { size: f64::NAN, time: f64::NAN };
    if chains.is_empty() || chains.iter().any(|c| c.len() < 2 || c.len() != chains[0].len()) {
        return nothing;
    }
    let (m, n) = (chains.len(), chains[0].len());
    let (within, total, means) = variances(chains);
    if !(total > 0.0 && total.is_finite()) {
        return nothing;
    }
    let mut far = Vec::new();
    let mut correlation = |lag: usize| {
        if lag >= DIRECT && far.is_empty() {
            far = covariances(chains, &means);
        }
        let sum = if lag < DIRECT { covariance(chains, &means, lag) } else { far[lag] };
        1.0 - (within - sum / m as f64) / total
    };
    let (mut sum, mut last) = (0.0, f64::INFINITY);
    for lag in (0..n - 1).step_by(2) {
        let pair = if lag == 0 { 1.0 + correlation(1) } else { correlation(lag) + correlation(lag + 1) };
        if pair < 0.0 {
            break;
        }
        last = pair.min(last);
        sum += last;
    }
    let draws = (m * n) as f64;
    // Upper bound of the effective sample size of anticorrelated chains.
    let time = (2.0 * sum - 1.0).max(1.0 / draws.log10().max(1.0));
    Ess { size: draws / time, time }
}

#[cfg(test)]
mod tests {
    use engine::rng::Stream;

    use super::*;

    /// Chains x_t = phi x_(t-1) + noise of variance 1 - phi^2, started from their law N(0, 1).
    fn autoregressive(phi: f64, chains: usize, n: usize, seed: u64) -> Vec<Vec<f64>> {
        let chain = |m: usize| {
            let mut x = vec![0.0_f64; n];
            Stream::new(seed, "autoregressive", 0, m as u64).fill_normal(&mut x);
            let noise = (1.0 - phi * phi).sqrt();
            (1..n).for_each(|t| x[t] = phi * x[t - 1] + noise * x[t]);
            x
        };
        (0..chains).map(chain).collect()
    }

    #[test]
    fn r_hat_worked_out_by_hand() {
        // Halves (0, 2), (1, 3), (4, 6), (5, 7): W = 2, means 1, 2, 5, 6, B / N = 17 / 3.
        let chains = [vec![0.0, 2.0, 1.0, 3.0], vec![4.0, 6.0, 5.0, 7.0]];
        let want = ((1.0 + 17.0 / 3.0) / 2.0f64).sqrt();
        assert!((r_hat(&halves(&chains)) - want).abs() < 1e-15);
        assert!((r_hat(&[vec![1.0, 2.0, 3.0], vec![1.0, 2.0, 3.0]]) - (2.0 / 3.0f64).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn ess_of_autoregressive_chains() {
        // The integrated time of AR(1) is (1 + phi) / (1 - phi).
        for (phi, seed) in [(0.0, 1), (0.5, 2), (0.9, 3), (-0.4, 4)] {
            let chains = autoregressive(phi, 8, 40_000, seed);
            let want = 8.0 * 40_000.0 * (1.0 - phi) / (1.0 + phi);
            let e = ess(&chains);
            assert!((e.size / want - 1.0).abs() < 0.1, "phi {phi}: {} against {want}", e.size);
            assert!((e.time * e.size - 320_000.0).abs() < 1e-6);
            let c = convergence(&chains);
            assert!((c.bulk_ess / want - 1.0).abs() < 0.1, "{c:?}");
            assert!(c.r_hat < 1.005 && c.tail_ess > 0.5 * want.min(320_000.0), "{c:?}");
        }
    }

    #[test]
    fn covariances_by_fourier_transform_are_those_by_their_definition() {
        for n in [2, 3, 64, 301] {
            let chains = autoregressive(0.95, 3, n, n as u64);
            let means = variances(&chains).2;
            let all = covariances(&chains, &means);
            assert_eq!(all.len(), n);
            let scale = all[0];
            for (lag, found) in all.iter().enumerate() {
                let want = covariance(&chains, &means, lag);
                assert!((found - want).abs() < 1e-12 * scale, "{n} {lag}: {found} {want}");
            }
        }
    }

    #[test]
    fn long_chains_that_are_stuck_are_worth_about_their_number() {
        // Four on either side. All lags are needed: 6e10 products one by one.
        let mut chains = autoregressive(0.5, 8, 100_000, 9);
        for (m, c) in chains.iter_mut().enumerate() {
            c.iter_mut().for_each(|v| *v += if m < 4 { 9.0 } else { -9.0 });
        }
        let size = ess(&chains).size;
        assert!(size > 1.0 && size < 16.0, "{size}");
    }

    #[test]
    fn chains_that_differ_in_place_or_in_spread_are_found_out() {
        let mut chains = autoregressive(0.3, 4, 1000, 5);
        assert!(convergence(&chains).r_hat < 1.01);
        chains[0].iter_mut().for_each(|v| *v += 1.0);
        let c = convergence(&chains);
        assert!(c.r_hat > 1.05 && c.bulk_ess < 100.0, "{c:?}");
        let mut chains = autoregressive(0.3, 4, 1000, 6);
        chains[0].iter_mut().for_each(|v| *v *= 3.0);
        assert!(convergence(&chains).r_hat > 1.05);
        // A trend, the same in every chain: only the halves show it.
        let mut chains = autoregressive(0.3, 4, 1000, 7);
        chains.iter_mut().for_each(|c| c.iter_mut().enumerate().for_each(|(t, v)| *v += t as f64 / 400.0));
        assert!(convergence(&chains).r_hat > 1.05);
    }

    #[test]
    fn ranks_do_not_care_for_scale_and_share_ties() {
        let chains = autoregressive(0.5, 4, 500, 8);
        let cubed: Vec<Vec<f64>> = chains.iter().map(|c| c.iter().map(|v| v.powi(3)).collect()).collect();
        assert_eq!(rank_normalised(&chains), rank_normalised(&cubed));
        let tied = rank_normalised(&[vec![1.0, 2.0], vec![2.0, 3.0]]);
        assert!(tied[0][1] == tied[1][0] && tied[0][1].abs() < 1e-9 && tied[0][0] == -tied[1][1]);
    }

    #[test]
    fn too_little_gives_nan() {
        for chains in [vec![], vec![vec![1.0; 3]], vec![vec![f64::NAN; 9]], vec![vec![2.0; 9]]] {
            let c = convergence(&chains);
            assert!(c.r_hat.is_nan() && c.bulk_ess.is_nan() && c.tail_ess.is_nan(), "{c:?}");
        }
    }
}
