//! Samplers learn, or reach, a density that is known: two particles in the plane with wells at the distances 2.5 and
//! 5.5. Their distance r has the density r exp(-E(r)) / Z, and a third of the states lie in the inner well.

use models::mcmc::hmc;
use models::mcmc::parallel_tempering::{self, ParallelTempering};
use models::sampler::iwsm::{Config, Kind, Objective, Trainer};
use models::target::DoubleWell;

/// Mean distance, share of distances below 4, and log Z on the mean-free plane, by quadrature.
fn exact() -> [f64; 3] {
    let step = 1e-3;
    let mut sums = [0.0; 3];
    for k in 0..10_000 {
        let r = (f64::from(k) + 0.5) * step;
        let v = (r - 4.0).powi(2);
        let p = r * (4.0 * v - 0.9 * v * v).exp() * step;
        sums = [sums[0] + p * r, sums[1] + if r < 4.0 { p } else { 0.0 }, sums[2] + p];
    }
    // The plane has orthonormal coordinates (x_1 - x_2) / sqrt 2: its element is pi r dr.
    [sums[0] / sums[2], sums[1] / sums[2], (std::f64::consts::PI * sums[2]).ln()]
}

/// The mean distance and the share of distances below 4.
fn observed(x: impl Iterator<Item = f64>) -> [f64; 2] {
    let x: Vec<f64> = x.collect();
    let r: Vec<f64> = x.chunks_exact(4).map(|x| (x[0] - x[2]).hypot(x[1] - x[3])).collect();
    let n = r.len() as f64;
    [r.iter().sum::<f64>() / n, r.iter().filter(|r| **r < 4.0).count() as f64 / n]
}

/// After a short training from the energy alone.
fn learned(kind: Kind, objective: Objective) -> [f64; 2] {
    let target = DoubleWell::new(2).unwrap();
    let mut config = Config::default();
    let n = &mut config.network;
    (n.kind, n.hidden, n.layers, n.radial_features, n.space_features) = (kind, 32, 2, 24, 32);
    (n.sigma_data, n.mode_scale, n.sigma_min, n.sigma_max) = (1.7, 0.3, 0.03, 8.0);
    config.objective = objective;
    let t = &mut config.train;
    (t.steps, t.batch, t.draws, t.warm_up, t.ema) = (STEPS, 128, 50, 40, 0.98);
    (config.replay.capacity, config.replay.refresh_samples) = (2000, 256);
    let mut trainer = Trainer::<f32>::new(config, &target, 0).unwrap();
    for _ in 0..STEPS {
        trainer.step().unwrap();
    }
    observed(trainer.sample(2000, 100, (1, 0)).into_iter().map(f64::from))
}

const STEPS: u64 = 400;

/// Before the first step the samples are Gaussian: mean distance 3.0, three in four of them in the inner well.
/// Broken on purpose: with the other sign of the loss's gradient this test and the next fail; this one with inverse
/// weights (mean distance 2.3), with weights of one (4.0), with the first or the second half of all parameters frozen.
#[test]
fn every_network_learns_by_importance_weights() {
    let [mean, share, _] = exact();
    for kind in [Kind::Mlp, Kind::Residual, Kind::Pair, Kind::Egnn] {
        let [m, s] = learned(kind, Objective::Iwsm);
        assert!((m - mean).abs() < 0.15, "{kind:?}: mean distance {m}, not {mean}");
        assert!((s - share).abs() < 0.08, "{kind:?}: {s} in the inner well, not {share}");
    }
}

#[test]
fn weights_of_one_learn_too() {
    let [mean, share, _] = exact();
    let [m, s] = learned(Kind::Pair, Objective::Idem);
    // Trained where the sampler is, not where the target is, it comes near more slowly: the start is 1.5 and 0.43 away.
    assert!((m - mean).abs() < 0.3, "mean distance {m}, not {mean}");
    assert!((s - share).abs() < 0.14, "{s} in the inner well, not {share}");
}

/// Broken on purpose: with the other sign in the acceptance of swaps it fails.
#[test]
fn parallel_tempering_finds_both_wells_and_log_z() {
    let [mean, share, log_z] = exact();
    let config =
        parallel_tempering::Config { walkers: 32, rungs: 5, warm_up: 300, thin: 4, ..Default::default() };
    let target = DoubleWell::new(2).unwrap();
    let mut sampler = ParallelTempering::new(config, &target, 1).unwrap();
    while sampler.recorded() < 8000 {
        sampler.sweep().unwrap();
    }
    let [m, s] = observed(sampler.states().iter().copied());
    let z = sampler.report().log_z;
    assert!((m - mean).abs() < 0.06 && (s - share).abs() < 0.03, "{m} {mean}, {s} {share}");
    assert!((z.value - log_z).abs() < (4.0 * z.error).min(0.2), "{z:?}, not {log_z}");
}

#[test]
fn trajectories_cross_the_barrier_and_find_the_share_of_each_well() {
    let [mean, share, _] = exact();
    let (target, n) = (DoubleWell::new(2).unwrap(), 2000);
    // All begin in the inner well.
    let mut x: Vec<f64> = [1.25, 0.0, -1.25, 0.0].repeat(n);
    let acceptance: f64 =
        (0..400).map(|at| hmc::<f64>(&target, (0.25, 8), (3, at), &mut x).unwrap()).sum::<f64>() / 400.0;
    let [m, s] = observed(x.into_iter());
    assert!(acceptance > 0.5, "{acceptance}");
    // Four standard errors of a share of 2000 states are 0.04.
    assert!((m - mean).abs() < 0.13 && (s - share).abs() < 0.04, "{m} {mean}, {s} {share}");
}
