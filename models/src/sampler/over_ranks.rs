//! The same numbers for any number of ranks and threads.

use std::sync::Arc;

use engine::ranks::{Ranks, RanksError, Solo, Threads};

use super::iwsm::{Config, Explore, Form, Identity, Kind};
use super::{Method, Sampler, SamplerError};
use crate::evaluate::{Sizes, flow_figures};
use crate::mcmc::Correction;
use crate::mcmc::parallel_tempering;
use crate::target::{AnyTarget, Pointwise, TargetConfig, TargetError};

fn target(name: &str) -> Arc<dyn AnyTarget> {
    TargetConfig::of(name).unwrap().build().unwrap()
}

/// A method with small settings of its training.
fn method(name: &str, scales: [f64; 2], change: impl Fn(&mut Config)) -> Method {
    let mut method = Method::named(name, Some(scales)).unwrap();
    let config = match &mut method {
        Method::Iwsm(iwsm) => &mut iwsm.0,
        Method::Idem(idem) => &mut idem.0,
        _ => panic!("{name} has another configuration"),
    };
    (config.train.batch, config.train.draws, config.train.steps) = (100, 30, 12);
    (config.network.hidden, config.network.layers, config.replay.capacity) = (16, 1, 300);
    (config.replay.refresh_every, config.replay.refresh_samples, config.replay.refresh_steps) = (4, 150, 5);
    change(config);
    method
}

/// All that a run comes to: the state after every step, and what is asked of it in the end.
#[derive(Debug, PartialEq)]
struct Outcome {
    hashes: Vec<u64>,
    checkpoint: Vec<u8>,
    evaluations: u64,
    figures: Vec<f64>,
}

/// The steps from where the sampler is to `until`.
fn steps(sampler: &mut dyn Sampler, until: u64) -> Result<Vec<u64>, SamplerError> {
    let mut hashes = Vec::new();
    while sampler.done() < until {
        sampler.step()?;
        hashes.push(sampler.checkpoint().hash());
    }
    Ok(hashes)
}

fn outcome(ranks: Arc<dyn Ranks>, target: &dyn AnyTarget, method: &Method) -> Outcome {
    let mut sampler = method.config().build(target, 40, 3).unwrap();
    sampler.share(ranks.clone());
    let total = sampler.total();
    let hashes = steps(&mut *sampler, total).unwrap();
    let (checkpoint, evaluations) = (sampler.checkpoint().encode().unwrap(), sampler.evaluations());
    let mut figures = sampler.draw(40, 5, (1, 2)).unwrap();
    if let Some(learned) = sampler.learned() {
        learned.tune(150, 5, 7).unwrap();
        let (mut x, log_w) = learned.weighted(300, 5, (4, 0)).unwrap();
        let sizes = Sizes { sets: 1, set_size: 10, flow_samples: 130 };
        let flow = flow_figures(target.double(), None, &learned.flow(4), sizes, 1).unwrap();
        figures.extend(flow.iter().map(|f| f.value));
        let levels = learned.weight_levels(2, 40).unwrap();
        figures.extend(levels.iter().map(|level| level.plain));
        let correction = Correction { moves: 2, leapfrog: 3, step: 0.01, jumps: 0, seed: 1 };
        correction.apply(&*ranks, target.double(), &log_w, &mut x, &|_, _| Ok(0.0)).unwrap();
        figures.extend(x.into_iter().chain(log_w));
    }
    Outcome { hashes, checkpoint, evaluations, figures }
}

/// Compares ranks 1 to 4 with 1 and 3 threads each.
fn same(target: &dyn AnyTarget, method: &Method) {
    let want = outcome(Arc::new(Solo), target, method);
    for (size, threads) in [(1, 3), (2, 1), (2, 3), (3, 1), (3, 3), (4, 1), (4, 3)] {
        for found in Threads::run(size, threads, |ranks| outcome(ranks, target, method)) {
            assert_eq!(found.hashes, want.hashes, "{size} ranks of {threads} threads");
            // Bits; some figures may be NaN.
            let bits = |o: &Outcome| o.figures.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&want), "{size} ranks of {threads} threads");
            assert_eq!((found.checkpoint, found.evaluations), (want.checkpoint.clone(), want.evaluations));
        }
    }
}

#[test]
fn score_matching_in_the_plane() {
    let target = target("gmm40");
    for name in ["iwsm", "idem"] {
        same(&*target, &method(name, [25.0, 1.0], |_| {}));
    }
}

#[test]
fn particles_with_weights_of_paths_and_with_moves() {
    let target = target("dw4");
    let small = |config: &mut Config| {
        (config.network.kind, config.network.sigma_min) = (Kind::Pair, 0.05);
        config.network.core = 0.0;
    };
    let weighted = method("iwsm", [2.0, 0.3], |config| {
        small(config);
        (config.train.identity, config.weights.form) = (Identity::Stored, Form::Trajectory);
        (config.replay.explore, config.replay.share) = (Explore::Annealed, 0.1);
    });
    same(&*target, &weighted);
    let moved = method("idem", [2.0, 0.3], |config| {
        small(config);
        (config.replay.first_moves, config.replay.moves) = (2, 2);
    });
    same(&*target, &moved);
}

#[test]
fn jumps_of_explored_states() {
    let explored = method("iwsm", [2.0, 0.5], |config| {
        (config.train.identity, config.weights.form) = (Identity::Stored, Form::Trajectory);
        (config.replay.explore, config.replay.explore_moves) = (Explore::Smc, 1);
        (config.replay.moves, config.replay.jumps) = (1, true);
    });
    same(&*target("mw"), &explored);
}

#[test]
fn the_log_variance_loss() {
    let mut method = Method::named("dds", Some([3.0, 0.5])).unwrap();
    let Method::Dds(settings) = &mut method else { panic!() };
    (settings.train.batch, settings.train.steps, settings.train.path_steps) = (140, 5, 6);
    (settings.network.hidden, settings.network.layers) = (16, 1);
    same(&*target("mw"), &method);
}

#[test]
fn parallel_tempering() {
    let sampler = parallel_tempering::Config {
        walkers: 70,
        rungs: 4,
        warm_up: 16,
        thin: 3,
        scale: 2.0,
        ..Default::default()
    };
    same(&*target("dw4"), &Method::Pt(parallel_tempering::Settings { sampler }));
}

#[test]
fn a_training_goes_on_with_another_number_of_ranks() {
    let target = target("gmm40");
    let method = method("iwsm", [25.0, 1.0], |_| {});
    let begun = |ranks: Arc<dyn Ranks>| {
        let mut sampler = method.config().build(&*target, 40, 3).unwrap();
        sampler.share(ranks);
        sampler
    };
    let mut whole = begun(Arc::new(Solo));
    let want = steps(&mut *whole, 12).unwrap();
    let cut = Threads::run(3, 1, |ranks| {
        let mut sampler = begun(ranks);
        steps(&mut *sampler, 7).unwrap();
        sampler.checkpoint()
    });
    let found = Threads::run(2, 3, |ranks| {
        let mut sampler = begun(ranks);
        sampler.restore(&cut[2]).unwrap();
        steps(&mut *sampler, 12).unwrap()
    });
    assert!(found.iter().all(|hashes| *hashes == want[7..]));
}

#[test]
fn a_rank_that_ends_or_meets_a_broken_energy_is_an_error_of_all() {
    let target = target("gmm40");
    let method = method("iwsm", [25.0, 1.0], |_| {});
    let found = Threads::run(3, 1, |ranks| {
        let mut sampler = method.config().build(&*target, 40, 3).unwrap();
        sampler.share(ranks.clone());
        let until = if ranks.rank() == 1 { 5 } else { 12 };
        (steps(&mut *sampler, until), sampler.done())
    });
    let lost = RanksError::Elsewhere { rank: 1, why: "has ended".into() };
    for rank in [0, 2] {
        assert_eq!(found[rank], (Err(TargetError::Ranks(lost.clone()).into()), 5));
    }
    // Outside of what the buffer begins with lies a hole.
    let hole = Pointwise::new(2, |x: &[f64], g: &mut [f64]| {
        g.copy_from_slice(x);
        let square = x[0] * x[0] + x[1] * x[1];
        if square > 4000.0 { f64::NAN } else { 0.5 * square }
    });
    let hole = Arc::new(crate::target::Double(hole));
    let broken = |ranks: Arc<dyn Ranks>| {
        let mut sampler = method.config().build(&*hole, 40, 3).unwrap();
        sampler.share(ranks);
        steps(&mut *sampler, 12)
    };
    let want = broken(Arc::new(Solo)).unwrap_err();
    assert!(matches!(&want, SamplerError::Target(TargetError::Broken(_))), "{want:?}");
    assert!(Threads::run(4, 1, broken).into_iter().all(|found| found == Err(want.clone())));
}
