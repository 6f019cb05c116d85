//! The pair network against its equations, written out with loops over particles.

use engine::rng::Stream;
use engine::{Params, Tape};
use models::score::{PairConfig, ScoreNetwork, ScorePair};
use models::target::ParticleSystem;
use proptest::prelude::*;

use crate::cases::cases;

type Vector = Vec<f64>;

struct Plain<'a> {
    config: &'a PairConfig,
    params: &'a Params<f64>,
}

impl Plain<'_> {
    /// W h + b with the parameters of that name.
    fn linear(&self, name: &str, h: &[f64]) -> Vector {
        let get = |part: &str| {
            let id = self.params.find(&format!("{name}.{part}")).expect("a parameter of that name");
            (self.params.view(id).data, id.shape)
        };
        let ((w, shape), (b, _)) = (get("weight"), get("bias"));
        assert_eq!(shape.cols, h.len());
        (0..shape.rows)
            .map(|r| b[r] + (0..shape.cols).map(|c| w[c * shape.rows + r] * h[c]).sum::<f64>())
            .collect()
    }

    fn centred(&self, x: &[Vector]) -> Vec<Vector> {
        let (n, d) = (x.len(), x[0].len());
        let mean: Vector = (0..d).map(|a| x.iter().map(|x| x[a]).sum::<f64>() / n as f64).collect();
        x.iter().map(|x| x.iter().zip(&mean).map(|(x, m)| x - m).collect()).collect()
    }

    /// F at one state.
    fn f(&self, x: &[Vector], sigma: f64) -> Vec<Vector> {
        let c = self.config;
        let (n, d, k) = (x.len(), x[0].len(), c.radial_features);
        let (data2, mode2, s2) = (c.sigma_data.powi(2), c.mode_scale.powi(2), sigma * sigma);
        let b = (data2 / ((s2 + mode2) * (s2 + data2))).sqrt();
        let rho = c.sigma_data * (2.0 * (d * n) as f64 / (n - 1) as f64).sqrt();
        let times = |x: &[Vector], s: f64| -> Vec<Vector> {
            x.iter().map(|x| x.iter().map(|v| s * v).collect()).collect()
        };
        let plus = |x: &[Vector], y: &[Vector]| -> Vec<Vector> {
            x.iter().zip(y).map(|(x, y)| x.iter().zip(y).map(|(x, y)| x + y).collect()).collect()
        };
        // Hard cores.
        let reach = (c.core - 3.0 * 2f64.sqrt() * sigma).max(0.0);
        let mut total = vec![vec![0.0; d]; n];
        for i in 0..n {
            for j in (0..n).filter(|j| *j != i) {
                let u: Vector = (0..d).map(|a| x[i][a] - x[j][a]).collect();
                let r = (u.iter().map(|u| u * u).sum::<f64>() + (1e-6 * reach).powi(2)).sqrt();
                if r < reach {
                    (0..d).for_each(|a| total[i][a] += (reach - r) * u[a] / (2.0 * r * s2 * b));
                }
            }
        }
        let tau = (sigma / c.sigma_range.0).ln() / (c.sigma_range.1 / c.sigma_range.0).ln();
        let phases: Vector = (0..c.time_features)
            .map(|k| std::f64::consts::PI * 2f64.powf(0.5 * k as f64 - 1.0) * tau)
            .collect();
        let time: Vector = phases.iter().map(|p| p.sin()).chain(phases.iter().map(|p| p.cos())).collect();
        let mut h = vec![time; n];
        for pass in 0..c.passes {
            let centred = self.centred(x);
            let (place, along) = if pass == 0 {
                (centred.clone(), times(&centred, 1.0 / sigma.hypot(c.sigma_data)))
            } else {
                (plus(&times(&centred, data2 / (s2 + data2)), &times(&total, s2 * b)), total.clone())
            };
            let prefix = if pass == 0 { String::new() } else { format!("pass{pass}.") };
            // (bells, direction from j to i) of a pair.
            let pair = |i: usize, j: usize| {
                let delta: Vector = (0..d).map(|a| place[i][a] - place[j][a]).collect();
                let r = (delta.iter().map(|v| v * v).sum::<f64>() + (1e-3 * rho).powi(2)).sqrt();
                let z = r / (r + rho);
                let bell = |m: usize| (-0.5 * ((z - (m as f64 + 0.5) / k as f64) * k as f64).powi(2)).exp();
                let u: Vector = delta.iter().map(|v| v / r).collect();
                ((0..k).map(bell).collect::<Vector>(), u)
            };
            for round in 0..c.rounds {
                let name = |part: &str| format!("{prefix}round{round}.{part}");
                let weights: Vec<Vector> = match pass + round {
                    0 => vec![vec![1.0; k]; n],
                    _ => h.iter().map(|h| self.linear(&name("gate"), h)).collect(),
                };
                let next = |i: usize| {
                    let (mut scalars, mut vectors) = (vec![0.0; k], vec![vec![0.0; d]; k]);
                    for j in (0..n).filter(|j| *j != i) {
                        let (bells, u) = pair(i, j);
                        for m in 0..k {
                            let w = bells[m] * weights[j][m] / (n as f64).sqrt();
                            scalars[m] += w;
                            (0..d).for_each(|a| vectors[m][a] += w * u[a]);
                        }
                    }
                    let squares = vectors.iter().map(|v| v.iter().map(|v| v * v).sum::<f64>());
                    let mut h: Vector = h[i].iter().copied().chain(scalars).chain(squares).collect();
                    for part in ["first", "second"] {
                        h = self.linear(&name(part), &h).iter().map(|v| v / (1.0 + (-v).exp())).collect();
                    }
                    h
                };
                h = (0..n).map(next).collect();
            }
            let a: Vec<Vector> = h.iter().map(|h| self.linear(&format!("{prefix}out"), h)).collect();
            let mut f = vec![vec![0.0; d]; n];
            for i in 0..n {
                for j in (0..n).filter(|j| *j != i) {
                    let (bells, u) = pair(i, j);
                    let strength: f64 = (0..k).map(|m| bells[m] * (a[i][m] + a[j][m])).sum();
                    (0..d).for_each(|c| f[i][c] += strength * u[c]);
                }
                (0..d).for_each(|c| f[i][c] += a[i][k] * along[i][c]);
            }
            total = plus(&total, &self.centred(&f));
        }
        total
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn the_network_is_its_equations(
        particles in 2_usize..7,
        space in 1_usize..4,
        passes in 1_usize..4,
        rounds in 1_usize..3,
        k in 1_usize..50,
        level in 0_usize..3,
        seed in 0_u64..999,
    ) {
        let config = PairConfig {
            system: ParticleSystem { particles, space },
            hidden: 5,
            rounds,
            passes,
            core: 1.2,
            time_features: 2,
            radial_features: k,
            sigma_data: 1.5,
            mode_scale: 0.4,
            sigma_range: (0.05, 20.0),
        };
        let mut params = Params::new();
        let network = ScorePair::new(config.clone(), &mut params, 1);
        Stream::new(seed, "params", 0, 0).fill_normal(params.values_mut());
        params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
        let mut x = vec![0.0; particles * space];
        Stream::new(seed, "states", 0, 0).fill_normal(&mut x);
        let sigma = [0.05, 0.2, 3.0][level];
        let mut tape = Tape::new();
        let mut rec = tape.record(params.values());
        let v = rec.constant(x.len(), 1, &x);
        let f = network.record(&mut rec, v, &[sigma]);
        let points: Vec<Vector> = x.chunks_exact(space).map(<[f64]>::to_vec).collect();
        let want: Vector = Plain { config: &config, params: &params }.f(&points, sigma).concat();
        let size = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        for (got, want) in rec.value(f).data.iter().zip(&want) {
            prop_assert!((got - want).abs() < 1e-9 * size, "{got} {want}");
        }
    }
}
