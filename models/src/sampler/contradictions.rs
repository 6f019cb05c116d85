//! Checkpoints whose numbers do not belong to one state are refused, each in one line.

use engine::checkpoint::Checkpoint;

use super::iwsm::{Config, ScoreMatching};
use super::{Method, MethodConfig, Sampler, adjoint, dds, hmc, smc};
use crate::mcmc::parallel_tempering;
use crate::target::Mixture;

fn method(name: &str) -> Method {
    match name {
        "iwsm" => {
            let mut config = Config::default();
            (config.train.batch, config.train.draws, config.train.steps) = (16, 8, 20);
            (config.network.hidden, config.network.space_features, config.replay.capacity) = (8, 4, 30);
            Method::Iwsm(ScoreMatching(config))
        }
        "dds" => {
            let mut settings = dds::Settings::begin(Some([27.0, 1.3]));
            (settings.train.batch, settings.train.steps, settings.train.path_steps) = (16, 20, 4);
            (settings.network.hidden, settings.network.space_features) = (8, 4);
            Method::Dds(settings)
        }
        "adjoint" => {
            let mut settings = adjoint::Settings::begin(Some([27.0, 1.3]));
            (settings.train.batch, settings.train.steps, settings.replay.capacity) = (16, 20, 30);
            (settings.replay.refresh_every, settings.replay.refresh_samples) = (4, 8);
            (settings.network.hidden, settings.network.space_features) = (8, 4);
            Method::Adjoint(settings)
        }
        "hmc" => Method::Hmc(hmc::Settings {
            sampler: hmc::Config { walkers: 4, scale: 20.0, leapfrog_steps: 3, warm_up: 5, thin: 2 },
        }),
        "smc" => Method::Smc(smc::Settings {
            sampler: smc::Config {
                blocks: 2,
                particles: 5,
                initial_scale: 20.0,
                temperatures: 20,
                ..Default::default()
            },
        }),
        _ => Method::Pt(parallel_tempering::Settings {
            sampler: parallel_tempering::Config {
                walkers: 4,
                rungs: 3,
                scale: 20.0,
                leapfrog_steps: 3,
                warm_up: 5,
                thin: 2,
                ..Default::default()
            },
        }),
    }
}

/// What is said of the checkpoint after eight steps, changed by `change`.
fn said(name: &str, change: impl FnOnce(&mut Checkpoint)) -> String {
    let (target, method) = (Mixture::gmm40(), method(name));
    let build = || method.config().build(&target, 40, 3).unwrap();
    let mut first = build();
    (0..8).for_each(|_| first.step().unwrap());
    let mut checkpoint = first.checkpoint();
    change(&mut checkpoint);
    build().restore(&checkpoint).err().map_or(String::new(), |e| e.to_string())
}

#[test]
fn counters_that_disagree_are_refused() {
    for name in ["iwsm", "dds", "adjoint", "hmc", "pt", "smc"] {
        assert_eq!(said(name, |_| {}), "", "{name}");
    }
    for (name, note, value, want) in [
        ("iwsm", "step", "21", "it is at step 21 of 20"),
        ("iwsm", "step", "7", "adam.steps = 8 at step 7"),
        ("iwsm", "adam.steps", "0", "adam.steps = 0 at step 8"),
        ("iwsm", "ema.updates", "9", "ema.updates = 9 at step 8"),
        ("iwsm", "energy_evaluations", "127", "energy_evaluations = 127 at step 8"),
        ("iwsm", "jumped", "1.5", "jumped = 1.5"),
        ("iwsm", "move_step", "NaN", "move_step = NaN"),
        ("iwsm", "move_step", "0", "move_step = 0"),
        ("iwsm", "acceptance", "1.5", "acceptance = 1.5"),
        ("iwsm", "buffer.len", "0", "buffer.len = 0 and buffer.next = 0 are no place in its buffer"),
        ("iwsm", "buffer.len", "31", "buffer.len = 31 and buffer.next = 0 are no place in its buffer"),
        ("iwsm", "buffer.len", "20", "buffer.len = 20 and buffer.next = 0 are no place in its buffer"),
        ("iwsm", "buffer.next", "30", "buffer.len = 30 and buffer.next = 30 are no place in its buffer"),
        ("dds", "step", "21", "it is at step 21 of 20"),
        ("dds", "adam.steps", "7", "adam.steps = 7 at step 8"),
        ("dds", "energy_evaluations", "127", "energy_evaluations = 127 at step 8"),
        ("adjoint", "ema.updates", "9", "ema.updates = 9 at step 8"),
        ("adjoint", "energy_evaluations", "29", "energy_evaluations = 29 at step 8"),
        ("adjoint", "buffer.next", "30", "buffer.len = 30 and buffer.next = 30 are no place in its buffer"),
        ("hmc", "step", "26", "it is at step 26 of 25"),
        ("hmc", "step_size", "-0.5", "step_size = -0.5"),
        ("hmc", "step_size", "inf", "step_size = inf"),
        ("hmc", "acceptance", "NaN", "acceptance = NaN"),
        ("pt", "sweep", "7", "record.sweeps = 3 after 7 sweeps, 5 of them the warm-up"),
        ("pt", "record.sweeps", "8", "record.sweeps = 8 after 8 sweeps, 5 of them the warm-up"),
        ("pt", "settled", "6", "settled = 6 after 8 sweeps"),
        ("pt", "record.round_trips", "33", "record.round_trips = 33 after 8 sweeps"),
        ("pt", "evaluations", "96", "evaluations = 96 after 8 sweeps"),
        ("smc", "step", "21", "it is at step 21 of 20"),
        ("smc", "step", "7", "population 0 was at 8 temperatures after 7 steps"),
    ] {
        let text = said(name, |c| c.note(note, value));
        assert_eq!(text, format!("it contradicts itself: {want}"), "{name} {note} = {value}");
    }
    let ladder = said("pt", |c| c.put_vec("ladder", &[1.0, 1.5, 0.0]));
    assert_eq!(ladder, "it contradicts itself: its ladder does not lead from 1 down to 0");
    for (part, value, want) in [
        ("lambda", 1.5, "population 0 has lambda = 1.5"),
        ("log_z", f64::NAN, "population 0 has log_z = NaN"),
        ("step_size", 0.0, "population 0 has step_size = 0"),
        ("acceptance", -1.0, "population 0 has acceptance = -1"),
        ("least_share", f64::NAN, "population 0 has least_share = NaN"),
        ("drift", f64::INFINITY, "population 0 has drift = inf"),
        ("temperatures", 9.0, "population 0 was at 9 temperatures after 8 steps"),
        ("resamplings", 9.0, "population 0 was resampled 9 times at 8 temperatures"),
        ("evaluations", 19.0, "population 0 of 20 particles took 19 evaluations"),
    ] {
        let text = said("smc", |c| c.put_vec(part, &[value; 2]));
        assert_eq!(text, format!("it contradicts itself: {want}"), "{part} = {value}");
    }
    let steps = said("pt", |c| c.put_vec("steps", &[0.1, 0.0, 0.1]));
    assert_eq!(steps, "it contradicts itself: it has a step size of 0");
}

#[test]
fn no_memory_is_reserved_for_counters_that_are_too_large() {
    // In these runs the counters fit each other, but not the tensors: what they stand for is not reserved.
    let target = Mixture::gmm40();
    let restored = |name: &str, notes: &dyn Fn(u64) -> Vec<(&'static str, u64)>| {
        let method = method(name);
        let mut sampler: Box<dyn Sampler> = method.config().build(&target, 1_000_000, 3).unwrap();
        let mut checkpoint = sampler.checkpoint();
        notes(sampler.total()).iter().for_each(|(note, value)| checkpoint.note(note, value));
        sampler.restore(&checkpoint).unwrap_err().to_string()
    };
    let hmc = restored("hmc", &|total| vec![("step", total)]);
    assert!(hmc.starts_with("`states` holds 0 values of type F64, "), "{hmc}");
    let pt = restored("pt", &|total| {
        vec![("sweep", total), ("record.sweeps", total - 5), ("evaluations", u64::MAX)]
    });
    assert!(pt.starts_with("`record.excess` holds 0 values of type F64, "), "{pt}");
}
