//! An equivariant score network for particles without matrix products over pairs.

use std::sync::Arc;

use engine::{ParamId, Params, Real, Recording, Var};

use super::centred::Center;
use super::hard_core::{HardCore, reach};
use super::pair_ops::{Basis, Force, Gather, Pairs};
use super::{ScoreNetwork, per_state, scaling, waves};
use crate::target::{Geometry, ParticleSystem};

/// Size and scales of a pair network.
#[derive(Clone, Debug)]
pub struct PairConfig {
    /// The particles.
    pub system: ParticleSystem,
    /// Width of the layers on particles.
    pub hidden: usize,
    /// Rounds of gathering in a pass: 1 or more.
    pub rounds: usize,
    /// Passes: 1 or more.
    pub passes: usize,
    /// Sines (and cosines) of the noise level.
    pub time_features: usize,
    /// r_0, the least distance of two particles of the target; 0 for no hard core.
    pub core: f64,
    /// Radial functions K.
    pub radial_features: usize,
    /// Root mean square of a coordinate of the target.
    pub sigma_data: f64,
    /// Width of one mode; see [`ScoreMlp`](super::ScoreMlp).
    pub mode_scale: f64,
    /// Least and largest noise level.
    pub sigma_range: (f64, f64),
}

struct Round {
    gate: Option<(ParamId, ParamId)>,
    layers: [(ParamId, ParamId); 2],
}

struct Pass {
    rounds: Vec<Round>,
    out: (ParamId, ParamId),
}

/// The pair network: score = -x / (sigma^2 + sigma_data^2) + F / g(sigma), scaled as in
/// [`ScoreMlp`](super::ScoreMlp), with x mean-free.
///
/// For each pair, with delta = x_i - x_j, r = sqrt(|delta|^2 + eps^2), u = delta / r and z = r / (r + rho),
/// rho a typical distance: radial functions b_k = exp(-(K z - (k + 1/2))^2 / 2), k < K. With g_j in R^K the
/// weights of the senders,
///
/// A_i = sum_j b_ij g_j / sqrt N,  V_i = sum_j (b_ij g_j) u_ij / sqrt N.
///
/// A pass is a number of rounds on particles:
/// - first round: g = 1, h_i = SiLU layers of (A_i, |V_i|^2, features of the noise level);
/// - each further round: g = W h, h = SiLU layers of (h, A, |V|^2);
/// - F_i = sum_j phi_ij u_ij + beta_i c x_i, phi_ij = b_ij . (a_i + a_j), (a, beta) linear in h.
///
/// A further pass takes the particles at the denoised state y = x + sigma^2 score, keeps h, and adds
/// sum_j phi_ij u_ij + beta_i F_i to F: where the noise is as large as the gaps between particles, the
/// denoised state depends on many particles, and a pass is one step of a relaxation. With a hard core r_0,
/// score_i also has the term sum_j (r_g - r_ij)_+ u_ij / (2 sigma^2), r_g = r_0 - 3 sqrt(2) sigma: training
/// has no pairs nearer than that.
///
/// The sums with learned weights in a radial basis are the continuous-filter convolution of Schuett et al.
/// (2017, "SchNet") with one filter for each channel; |V_i|^2 brings angles, as in Schuett, Unke and
/// Gastegger (2021, "PaiNN"). A pair costs a few times K flops.
pub struct ScorePair<T> {
    config: PairConfig,
    basis: Arc<Basis>,
    gather: Arc<Gather<T>>,
    force: Arc<Force>,
    center: Arc<Center>,
    hard_core: Arc<HardCore>,
    passes: Vec<Pass>,
}

impl<T: Real> ScorePair<T> {
    /// Adds the network's parameters to `params`.
    pub fn new(config: PairConfig, params: &mut Params<T>, seed: u64) -> Self {
        let (hidden, k) = (config.hidden, config.radial_features);
        let mut width = 2 * config.time_features;
        let mut passes = Vec::new();
        for p in 0..config.passes {
            let prefix = if p == 0 { String::new() } else { format!("pass{p}.") };
            let mut layer = |name: String, rows: usize, cols: usize, gain: f64| {
                let w = params.add_weight(format!("{prefix}{name}.weight"), rows, cols, gain, seed);
                (w, params.add_zeros(format!("{prefix}{name}.bias"), rows, 1))
            };
            let mut rounds = Vec::new();
            for r in 0..config.rounds {
                let gate = (p + r > 0).then(|| layer(format!("round{r}.gate"), k, hidden, 1.0));
                let first = layer(format!("round{r}.first"), hidden, width + 2 * k, 1.5);
                let second = layer(format!("round{r}.second"), hidden, hidden, 1.5);
                rounds.push(Round { gate, layers: [first, second] });
                width = hidden;
            }
            // With a last layer of zeros, training starts at the Gaussian score.
            let out = params.add_zeros(format!("{prefix}out.weight"), k + 1, hidden);
            passes.push(Pass { rounds, out: (out, params.add_zeros(format!("{prefix}out.bias"), k + 1, 1)) });
        }
        let ParticleSystem { particles: n, space: d } = config.system;
        // Root mean square distance of two particles whose coordinates have the scale sigma_data.
        let scale = config.sigma_data * (2.0 * (d * n) as f64 / (n - 1) as f64).sqrt();
        let pairs = Pairs { system: config.system, basis: k, scale };
        Self {
            center: Arc::new(Center(config.system)),
            hard_core: Arc::new(HardCore(config.system)),
            config,
            basis: Arc::new(Basis(pairs)),
            gather: Arc::new(Gather::new(pairs)),
            force: Arc::new(Force(pairs)),
            passes,
        }
    }
}

impl<T: Real> ScoreNetwork<T> for ScorePair<T> {
    fn geometry(&self) -> Geometry {
        self.config.system.into()
    }

    fn record(&self, rec: &mut Recording<T>, x: Var, sigma: &[T]) -> Var {
        let (c, n) = (&self.config, sigma.len());
        let (particles, k) = (c.system.particles, c.radial_features);
        let mut h = waves(rec, c.time_features, c.sigma_range, sigma, particles);
        let shrink = per_state(rec, sigma, |s| 1.0 / s.hypot(c.sigma_data));
        let mut along = rec.apply(self.center.clone(), &[x, shrink]);
        let mut place = x;
        let mut total = (c.core > 0.0).then(|| {
            // The op's contribution to F: score / b, for score = a x + b F.
            let columns = rec.constant_with(2, n, |columns| {
                for (column, s) in columns.as_chunks_mut().0.iter_mut().zip(sigma) {
                    let s = s.f64();
                    let b = scaling::<f64>(s, c.sigma_data, c.mode_scale).1;
                    *column = [T::of(1.0 / (s * s * b)), T::of(reach(c.core, s))];
                }
            });
            rec.apply(self.hard_core.clone(), &[x, columns])
        });
        for (p, pass) in self.passes.iter().enumerate() {
            if let Some(f) = total.filter(|_| p > 0) {
                // y = x + sigma^2 (a x + b F).
                let keep = per_state(rec, sigma, |s| 1.0 - s * s / (s * s + c.sigma_data * c.sigma_data));
                let push = per_state(rec, sigma, |s| s * s * scaling::<f64>(s, c.sigma_data, c.mode_scale).1);
                let kept = rec.apply(self.center.clone(), &[x, keep]);
                let pushed = rec.apply(self.center.clone(), &[f, push]);
                place = rec.add(kept, pushed);
                along = f;
            }
            let basis = rec.apply(self.basis.clone(), &[place]);
            for round in &pass.rounds {
                let g = match round.gate {
                    Some((w, b)) => {
                        let (w, b) = (rec.param(w), rec.param(b));
                        rec.linear(w, h, b)
                    }
                    None => rec.constant_with(k, n * particles, |ones| ones.fill(T::ONE)),
                };
                let gathered = rec.apply(self.gather.clone(), &[basis, g]);
                h = rec.concat_rows(&[h, gathered]);
                for (w, b) in round.layers {
                    let (w, b) = (rec.param(w), rec.param(b));
                    h = rec.linear_silu(w, h, b);
                }
            }
            let (w, b) = (rec.param(pass.out.0), rec.param(pass.out.1));
            let a = rec.linear(w, h, b);
            let f = rec.apply(self.force.clone(), &[basis, a, along]);
            total = Some(match total {
                Some(sum) => rec.add(sum, f),
                None => f,
            });
        }
        total.unwrap_or(along)
    }

    fn scaling(&self, sigma: T) -> (T, T) {
        scaling(sigma, self.config.sigma_data, self.config.mode_scale)
    }
}
