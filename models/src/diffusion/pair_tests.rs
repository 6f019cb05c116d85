//! Reverse steps whose noise follows the pairs of particles.

use engine::checkpoint::Checkpoint;
use engine::rng::Stream;
use engine::{Recording, Var};
use faer::linalg::solvers::{DenseSolveCore, SelfAdjointEigen};
use faer::{Mat, Side};

use super::denoising_error::{KNOTS, variance};
use super::pair_covariance::{Factor, NODES, PairCovariance, TERMS};
use super::pair_covariance_fit::Level;
use super::{DenoisingError, ReverseProcess, Schedule, ScoreModel};
use crate::importance::{log_mean_exp, normalised_ess};
use crate::score::ScoreNetwork;
use crate::target::{Geometry, ParticleSystem};

const SCHEDULE: Schedule = Schedule { sigma_min: 0.05, sigma_max: 8.0 };
const SYSTEM: ParticleSystem = ParticleSystem { particles: 4, space: 2 };

/// The score of a Gaussian of independent particles.
struct Independent(f64);

impl ScoreNetwork<f64> for Independent {
    fn geometry(&self) -> Geometry {
        Geometry::Particles(SYSTEM)
    }

    fn record(&self, rec: &mut Recording<f64>, _: Var, sigma: &[f64]) -> Var {
        rec.constant(SYSTEM.dim(), sigma.len(), &vec![0.0; SYSTEM.dim() * sigma.len()])
    }

    fn scaling(&self, sigma: f64) -> (f64, f64) {
        (-1.0 / (self.0 * self.0 + sigma * sigma), 1.0)
    }
}

fn nodes() -> [f64; NODES] {
    std::array::from_fn(|k| 0.3 + 0.4 * k as f64)
}

/// Functions of the distance with both signs: positive definite for every state up to a strength of 0.9.
fn terms(strength: f64) -> [f64; TERMS] {
    std::array::from_fn(|k| match k {
        0 => 1.3,
        k if k <= NODES => strength * (1.0 - 0.4 * (k - 1) as f64).max(-0.2),
        k => strength * 0.1 * (k - NODES) as f64 * if k % 3 == 0 { -0.5 } else { 1.0 },
    })
}

fn covariance(strength: f64) -> PairCovariance {
    let mut covariance = PairCovariance::isotropic(SYSTEM, nodes(), vec![0.8; KNOTS]);
    covariance.terms.chunks_exact_mut(TERMS).for_each(|row| row.copy_from_slice(&terms(strength)));
    covariance
}

fn states(count: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut x = vec![0.0; count * SYSTEM.dim()];
    SYSTEM.fill_normal(&mut Stream::new(seed, "states", 0, 0), &mut x);
    x.iter_mut().for_each(|x| *x *= scale);
    x
}

/// P by its definition.
fn precision(terms: &[f64; TERMS], y: &[f64]) -> Mat<f64> {
    let d = SYSTEM.space;
    let mut p = terms[0] * Mat::<f64>::identity(SYSTEM.dim(), SYSTEM.dim());
    let (nodes, last) = (nodes(), NODES - 1);
    let line = |values: &[f64], x: f64| match nodes.iter().rposition(|n| *n <= x) {
        None => values[0],
        Some(k) if k == last => values[last],
        Some(k) => values[k] + (values[k + 1] - values[k]) * (x - nodes[k]) / (nodes[k + 1] - nodes[k]),
    };
    for i in 0..SYSTEM.particles {
        for j in 0..i {
            let u: Vec<f64> = (0..d).map(|a| y[i * d + a] - y[j * d + a]).collect();
            let distance = u.iter().map(|u| u * u).sum::<f64>().sqrt();
            let (f, g) = (line(&terms[1..=NODES], distance), line(&terms[1 + NODES..], distance));
            for (m, of_m) in [(i, 1.0), (j, -1.0)] {
                for (k, of_k) in [(i, 1.0), (j, -1.0)] {
                    for a in 0..d {
                        for b in 0..d {
                            let along = u[a] * u[b] / (distance * distance);
                            let across = if a == b { 1.0 } else { 0.0 } - along;
                            p[(m * d + a, k * d + b)] += of_m * of_k * (f * along + g * across);
                        }
                    }
                }
            }
        }
    }
    p
}

#[test]
fn the_factor_is_that_of_the_steps_covariance_on_mean_free_states() {
    let covariance = covariance(0.6);
    let (sigma, next): (f64, f64) = (1.2, 0.7);
    let step = covariance.step(0.4, (sigma, next), 0.8);
    let r = 0.8;
    let added = (sigma * sigma - next * next) * r;
    let own = added / (next * next + added);
    let mut memory = Factor::default();
    for y in states(20, 1.5, 1).chunks_exact(SYSTEM.dim()) {
        step.factor_denoised(y, &mut memory);
        let s = precision(&terms(0.6), y).partial_piv_lu().inverse();
        let c = (1.0 - own + own / r * 1e-6) * Mat::<f64>::identity(SYSTEM.dim(), SYSTEM.dim()) + own / r * s;
        let inverse = c.partial_piv_lu().inverse();
        // Translations are eigenvectors, with this eigenvalue.
        let of_mean = 1.0 - own + own / r * (1.0 / 1.3 + 1e-6);
        let all = SelfAdjointEigen::new(c.as_ref(), Side::Lower).unwrap();
        let logs = (0..SYSTEM.dim()).map(|k| all.S()[k].ln()).sum::<f64>();
        let want = 0.5 * (logs - SYSTEM.space as f64 * of_mean.ln());
        assert!((memory.log_det - want).abs() < 1e-10, "{} {want}", memory.log_det);
        let x = states(1, 1.0, 2);
        let square = |x: &[f64]| {
            let pairs = (0..x.len()).flat_map(|i| (0..x.len()).map(move |j| (i, j)));
            pairs.map(|(i, j)| x[i] * inverse[(i, j)] * x[j]).sum::<f64>()
        };
        assert!((memory.square(x.iter().copied()) - square(&x)).abs() < 1e-10);
        // The covariance of what it spreads, from the images of unit vectors: their mean-free parts and their means.
        let mut sum = Mat::<f64>::zeros(SYSTEM.dim(), SYSTEM.dim());
        let mut out = Vec::new();
        for k in 0..SYSTEM.dim() {
            let (mut z, mut means) = (vec![0.0; SYSTEM.dim()], [0.0; 2]);
            z[k] = 1.0;
            means[k % SYSTEM.space] = 1.0 / (SYSTEM.particles as f64).sqrt();
            SYSTEM.center(&mut z);
            let found = memory.spread(SYSTEM, &means, &z, &mut out);
            assert!((found - square(&out)).abs() < 1e-10, "{found} {}", square(&out));
            for i in 0..out.len() {
                for j in 0..out.len() {
                    sum[(i, j)] += out[i] * out[j];
                }
            }
        }
        for i in 0..SYSTEM.dim() {
            for j in 0..SYSTEM.dim() {
                // C without its part on translations.
                let mean = if i % SYSTEM.space == j % SYSTEM.space {
                    of_mean / SYSTEM.particles as f64
                } else {
                    0.0
                };
                assert!((sum[(i, j)] - (c[(i, j)] - mean)).abs() < 1e-10, "{i} {j}");
            }
        }
    }
}

#[test]
fn steps_whose_variance_was_lowered_keep_a_share_of_the_least_one() {
    // Nothing is left open in any direction: a step has what it adds for itself.
    let mut stiff = covariance(0.0);
    stiff.terms.chunks_exact_mut(TERMS).for_each(|row| row[0] = 1e12);
    let (sigma, next): (f64, f64) = (1.2, 0.7);
    let drift = sigma * sigma - next * next;
    let of_known = drift * next * next / (sigma * sigma);
    let (x, mut memory) = (states(1, 1.0, 3), Factor::default());
    // The errors of `covariance` are 0.8.
    for (error, least) in [(0.8, 1.0), (1.6, 1.0), (0.4, 0.75), (1e-6, 0.75)] {
        stiff.step(0.4, (sigma, next), error).factor_denoised(&x, &mut memory);
        let own = x.iter().map(|x| x * x).sum::<f64>() / memory.square(x.iter().copied());
        let share = own * variance(sigma * sigma, next * next, drift * error) / of_known;
        assert!(share > least - 1e-4, "{error}: {share}");
        assert!(error > 0.8 || share < least + 1e-4, "{error}: {share}");
    }
}

#[test]
fn weights_of_paths_have_the_mean_z_with_correlated_noise() {
    // E = |x|^2 / 2 on mean-free states, learnt wrongly. The distance of two particles exceeds c with the probability
    // exp(-c^2 / 4).
    let log_z = 0.5 * SYSTEM.mean_free_dim() as f64 * std::f64::consts::TAU.ln();
    let network = Independent(1.1);
    let model = ScoreModel { network: &network as &dyn ScoreNetwork<f64>, params: &[] };
    let mut error = DenoisingError::gaussian(Geometry::Particles(SYSTEM), SCHEDULE, 1.1);
    let n = 60_000;
    let mut shares = Vec::new();
    // The last has C = I where two particles are close. Between the nodes lie states whose P is nearly singular, and
    // steps so wide that noising never shows their ends: here there is no room for such.
    let mut close = covariance(0.1);
    (close.nodes[0], close.nodes[1]) = (0.6, 0.6 + 1e-9);
    close.terms.chunks_exact_mut(TERMS).for_each(|row| row[1] = -3.0);
    for (name, pairs) in [("none", covariance(0.0)), ("some", covariance(0.25)), ("close", close)] {
        let (mut memory, step) = (Factor::default(), pairs.step(0.7, (1.5, 0.8), 0.8));
        let identities = (states(1000, 1.0, 4).chunks_exact(SYSTEM.dim()))
            .filter(|y| {
                step.factor_denoised(y, &mut memory);
                memory.identity
            })
            .count();
        assert!(
            if name == "close" { (100..900).contains(&identities) } else { identities == 0 },
            "{identities}"
        );
        error.set_pairs(pairs);
        let reverse = ReverseProcess { model, schedule: SCHEDULE, prior_scale: 8.1, error: &error };
        let (mut x, mut ratios) = (vec![0.0; n * SYSTEM.dim()], vec![0.0; n]);
        reverse.paths(12, (3, 0), &mut x, &mut ratios);
        let columns = || x.chunks_exact(SYSTEM.dim());
        let w: Vec<f64> = (ratios.iter().zip(columns()))
            .map(|(l, x)| (l - 0.5 * x.iter().map(|x| x * x).sum::<f64>() - log_z).exp())
            .collect();
        let far = columns().map(|x| f64::from(u8::from((x[0] - x[2]).hypot(x[1] - x[3]) > 2.0)));
        let far: Vec<f64> = far.zip(&w).map(|(far, w)| far * w).collect();
        for (v, want) in [(&w, 1.0), (&far, (-1f64).exp())] {
            let mean = v.iter().sum::<f64>() / n as f64;
            let se =
                (v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt() / (n as f64).sqrt();
            assert!((mean - want).abs() < 5.0 * se && se < 0.05, "{name}: {mean} +- {se}, not {want}");
        }
        let squares = w.iter().map(|w| w * w).sum::<f64>() / n as f64;
        shares.push(1.0 / squares);
        // A path that noises a state has the inverse of its ratio as weight: E exp(-ratio + E) over exp(-E) is 1 / Z.
        let from = states(n, 1.0, 5);
        let back: Vec<f64> =
            (reverse.noised_ratios(&from, 12, (6, 0)).iter().zip(from.chunks_exact(SYSTEM.dim())))
                .map(|(l, x)| (-l + 0.5 * x.iter().map(|x| x * x).sum::<f64>() + log_z).exp())
                .collect();
        let mean = back.iter().sum::<f64>() / n as f64;
        let se = (back.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt() / n as f64;
        assert!((mean - 1.0).abs() < 5.0 * se && se < 0.05, "{name}: {mean} +- {se}, not 1");
    }
    // Not a trivial case.
    assert!(shares[1] < 0.9 && (shares[0] - shares[1]).abs() > 0.02, "{shares:?}");
}

#[test]
fn the_fit_finds_the_precision_that_the_errors_have() {
    let (covariance, want) = (covariance(0.3), terms(0.3));
    let y = states(12_000, 1.2, 7);
    let mut e = Vec::new();
    let mut stream = Stream::new(8, "errors", 0, 0);
    for y in y.chunks_exact(SYSTEM.dim()) {
        let p = precision(&want, y);
        let values = SelfAdjointEigen::new(p.as_ref(), Side::Lower).unwrap();
        let mut z = vec![0.0; SYSTEM.dim()];
        stream.fill_normal(&mut z);
        // P^(-1/2) z.
        let mut error = vec![0.0; SYSTEM.dim()];
        for k in 0..SYSTEM.dim() {
            let along =
                (0..SYSTEM.dim()).map(|i| values.U()[(i, k)] * z[i]).sum::<f64>() / values.S()[k].sqrt();
            (0..SYSTEM.dim()).for_each(|i| error[i] += along * values.U()[(i, k)]);
        }
        SYSTEM.center(&mut error);
        e.extend(error);
    }
    let mut found = [0.0; TERMS];
    found[0] = 1.0;
    let level = Level { covariance: &covariance, y: &y, e: &e };
    level.fit(&mut found);
    // More likely than those that the errors were drawn with.
    let mut memory = Factor::default();
    let [at_found, at_want] = [&found, &want].map(|terms| level.value(terms, &mut memory).unwrap());
    assert!(at_found < at_want, "{at_found} {at_want}");
    let (mut off, mut size) = (0.0, 0.0);
    for y in y.chunks_exact(SYSTEM.dim()).take(200) {
        let (found_p, want_p) = (precision(&found, y), precision(&want, y));
        for i in 0..SYSTEM.dim() {
            for j in 0..SYSTEM.dim() {
                let isotropic = if i == j { want[0] } else { 0.0 };
                off += (found_p[(i, j)] - want_p[(i, j)]).powi(2);
                size += (want_p[(i, j)] - isotropic).powi(2);
            }
        }
        // Mean-free errors know nothing of translations, of which P makes a.
        off -= SYSTEM.space as f64 * (found[0] - want[0]).powi(2);
    }
    // 17 numbers from 4 to 7 x 10^4.
    assert!(off < 0.01 * size, "{off} {size}: {found:?}");
}

#[test]
fn checkpoints_keep_the_covariance_and_damaged_ones_are_refused() {
    let geometry = Geometry::Particles(SYSTEM);
    let plain = DenoisingError::gaussian(geometry, SCHEDULE, 1.1);
    let mut error = plain.clone();
    error.set_pairs(covariance(0.3));
    let mut kept = Checkpoint::new();
    error.put(&mut kept);
    let mut read = plain.clone();
    read.get(&kept).unwrap();
    assert_eq!(read, error);
    // One without it takes it away.
    let mut without = Checkpoint::new();
    plain.put(&mut without);
    read.get(&without).unwrap();
    assert_eq!(read, plain);
    for (name, wrong) in [
        ("pair_covariance.nodes", vec![1.0; NODES]),
        ("pair_covariance.terms", vec![f64::NAN; KNOTS * TERMS]),
        ("pair_covariance.errors", vec![0.0; KNOTS]),
    ] {
        // Each alone is refused.
        let mut damaged = kept.clone();
        damaged.put_vec(name, &wrong);
        let said = plain.clone().get(&damaged).unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("no covariance"), "{said}");
    }
}

/// Two particles in the plane at a distance near [`FAR`]: E = (d - FAR)^2 / (2 WIDE^2) + log d.
const RING: ParticleSystem = ParticleSystem { particles: 2, space: 2 };
const FAR: f64 = 3.0;
const WIDE: f64 = 0.2;

/// Nearly the denoiser of that: the mean direction of a thin ring, with the ratio of Bessel functions I_1 / I_0 (k) by
/// k / (1/2 + sqrt(k^2 + 9/4)) (Amos 1974), times the mean distance of a wide one.
struct Ring;

impl ScoreNetwork<f64> for Ring {
    fn geometry(&self) -> Geometry {
        Geometry::Particles(RING)
    }

    fn record(&self, rec: &mut Recording<f64>, x: Var, sigma: &[f64]) -> Var {
        let mut score = rec.value(x).data.to_vec();
        for (x, sigma) in score.chunks_exact_mut(4).zip(sigma) {
            // The difference of both has twice the variance.
            let (s2, d) = (2.0 * sigma * sigma, (x[0] - x[2]).hypot(x[1] - x[3]));
            let k = FAR * d / s2;
            let mean = k / (0.5 + (k * k + 2.25).sqrt()) * (FAR * s2 + d * WIDE * WIDE) / (s2 + WIDE * WIDE);
            x.iter_mut().for_each(|x| *x *= (mean / d - 1.0) / (sigma * sigma));
        }
        rec.constant(4, sigma.len(), &score)
    }

    fn scaling(&self, _: f64) -> (f64, f64) {
        (0.0, 1.0)
    }
}

#[test]
fn noise_that_follows_the_pairs_makes_the_weights_of_a_ring_more_even() {
    let model = ScoreModel { network: &Ring as &dyn ScoreNetwork<f64>, params: &[] };
    let mut stream = Stream::new(9, "ring", 0, 0);
    let mut exact = Vec::new();
    for _ in 0..4000 {
        let mut z = [0.0];
        stream.fill_normal(&mut z);
        let (half, angle) = (0.5 * (FAR + WIDE * z[0]), std::f64::consts::TAU * stream.uniform());
        exact.extend([half * angle.cos(), half * angle.sin(), -half * angle.cos(), -half * angle.sin()]);
    }
    let start = DenoisingError::gaussian(Geometry::Particles(RING), SCHEDULE, 1.5);
    let fitted = start.fitted(model, SCHEDULE, &exact, 1.0, (10, 0));
    let n = 20_000;
    let log_weights = |error: &DenoisingError| {
        let reverse = ReverseProcess { model, schedule: SCHEDULE, prior_scale: 8.1, error };
        let (mut x, mut log_w) = (vec![0.0; 4 * n], vec![0.0; n]);
        reverse.paths(15, (11, 0), &mut x, &mut log_w);
        for (w, x) in log_w.iter_mut().zip(x.chunks_exact(4)) {
            let d = (x[0] - x[2]).hypot(x[1] - x[3]);
            *w -= (d - FAR).powi(2) / (2.0 * WIDE * WIDE) + d.ln();
        }
        log_w
    };
    let [plain, correlated] =
        [&fitted, &fitted.correlated(model, SCHEDULE, &exact, (10, 1))].map(log_weights);
    let shares = [normalised_ess(&plain), normalised_ess(&correlated)];
    assert!(shares[1] > shares[0] + 0.1, "{shares:?}");
    // Z on mean-free states, whose metric is half that of the difference: the integral of exp(-E) over the difference's
    // plane is 2 pi sqrt(2 pi) WIDE.
    let want = (std::f64::consts::TAU * (std::f64::consts::TAU).sqrt() * WIDE / 2.0).ln();
    let se = ((1.0 / shares[1] - 1.0) / n as f64).sqrt();
    let found = log_mean_exp(&correlated);
    assert!((found - want).abs() < 5.0 * se && se < 0.02, "{found} +- {se}, not {want}");
}
