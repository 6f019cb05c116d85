//! A seeded random search: each trial draws settings from a declared space and is judged by its mean
//! validation figure over the splits. Test figures are neither logged nor looked at.

use engine::rng::Stream;
use models::graph::coefficient::Dependence;
use models::graph::dynamics::{Form, Kernel, Mobility};
use models::graph::settings::Model;
use models::graph::train::{TrainError, fit};
use models::graph::{Dataset, Normalisation};
use rayon::prelude::*;

use super::{GraphConfig, splits};
use crate::config::to_toml;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::run_folder::RunFolder;

/// A draw from the space of a network's settings; what does not belong to the network stays.
fn draw(base: &GraphConfig, trial: u64) -> GraphConfig {
    let mut s = Stream::new(base.seed, "search", trial, 0);
    let mut config = base.clone();
    let mut between = |low: f64, high: f64| low + (high - low) * s.uniform();
    let rounded = |v: f64| (v * 1e4).round() / 1e4;
    let t = &mut config.train;
    t.learning_rate = rounded(10f64.powf(between(-2.6, -1.5)));
    t.decay = 10f64.powf(between(-4.5, -1.5));
    t.decay = (t.decay * 1e6).round() / 1e6;
    let m = &mut config.model;
    m.input_dropout = rounded(between(0.0, 0.7));
    m.dropout = rounded(between(0.0, 0.7));
    let mut pick = |n: usize| s.index(n);
    m.hidden = [32, 64, 128, 256][pick(4)];
    let on = |k: usize| k == 1;
    match m.name.as_str() {
        "mlp" | "gcn" | "sage" => m.layers = 2 + pick(2),
        "gat" => (m.layers, m.heads) = (2, [1, 4, 8][pick(3)]),
        "gcnii" => {
            m.layers = [4, 8, 16, 32][pick(4)];
            (m.teleport, m.lambda) = ([0.1, 0.3, 0.5][pick(3)], [0.5, 1.0, 1.5][pick(3)]);
        }
        "h2gcn" => m.layers = 1 + pick(2),
        "gprgnn" => m.teleport = [0.1, 0.2, 0.5, 0.9][pick(4)],
        "graphcon" => {
            m.layers = [1, 2, 3, 5][pick(4)];
            m.teleport = [0.0, 0.5, 1.0][pick(3)];
            (m.deep_encoder, m.deep_decoder, m.relu) = (on(pick(2)), on(pick(2)), on(pick(2)));
        }
        _ => continuous(m, &mut pick),
    }
    config
}

/// The part of the space that belongs to differential equations.
fn continuous(m: &mut Model, pick: &mut impl FnMut(usize) -> usize) {
    use Normalisation::{Column, Row, Symmetric};
    let on = |k: usize| k == 1;
    m.time = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0][pick(7)];
    m.step = [0.25, 0.5, 1.0][pick(3)];
    m.normalisation = [Symmetric, Row, Column][pick(3)];
    m.loops = on(pick(2));
    m.attention = pick(4) == 0;
    (m.deep_encoder, m.deep_decoder, m.relu) = (on(pick(2)), on(pick(2)), on(pick(2)));
    let dependence = [Dependence::Scalar, Dependence::Channel, Dependence::Time];
    m.alpha = dependence[pick(3)];
    m.beta = [Dependence::Channel, Dependence::Channel, Dependence::Time][pick(3)];
    m.source = pick(3) == 0;
    if m.name == "frond" {
        (m.order, m.step) = ([0.5, 0.7, 0.85, 0.95][pick(4)], m.step.max(0.5));
    }
    if m.name != "grade" {
        return;
    }
    m.kernel = [Kernel::Gat, Kernel::Log, Kernel::Gauss, Kernel::Sin][pick(4)];
    m.form = if m.kernel == Kernel::Sin || on(pick(2)) { Form::Code } else { Form::Paper };
    m.mobility = [Mobility::Node, Mobility::Mean][pick(2)];
    m.sigma = ["identity", "identity", "learned"][pick(3)].into();
    m.diffusion = 0.1 * (1 + pick(10)) as f64;
    m.aggregation = 0.1 * (1 + pick(10)) as f64;
    (m.diffusion, m.aggregation) =
        ((m.diffusion * 10.0).round() / 10.0, (m.aggregation * 10.0).round() / 10.0);
    m.log_eps = [0.01, 0.1, 0.3, 1.0][pick(4)];
    m.width = [1.0, 3.0, 10.0][pick(3)];
}

/// Runs `trials` trials (trial 0 is `base` itself); writes search.csv and best.toml, returns the best.
pub fn search(
    folder: &RunFolder,
    base: &GraphConfig,
    data: &Dataset,
    trials: u64,
    quiet: bool,
    interrupt: &Interrupt,
) -> Result<GraphConfig, Failure> {
    let (data, splits) = splits(data.clone(), &base.data)?;
    let mut progress = Progress::new(0, trials, quiet);
    let mut log = String::from("trial,validation,settings\n");
    let mut best: Option<(f64, GraphConfig)> = None;
    for trial in 0..trials {
        let config = if trial == 0 { base.clone() } else { draw(base, trial) };
        config.check()?;
        let stop = || interrupt.requested();
        let settings = (&config.model, &config.train);
        let figures: Result<Vec<f64>, TrainError> = (splits.par_iter().enumerate())
            .map(|(k, split)| {
                let seed = Stream::new(base.seed, "training", k as u64, 0).next_u64();
                match fit(&data, split, settings, base.data.metric, seed, &stop) {
                    Ok(outcome) => Ok(outcome.figures().validation),
                    // Settings under which the equation blows up are the worst there are.
                    Err(TrainError::Diverged(_)) => Ok(0.0),
                    Err(e) => Err(e),
                }
            })
            .collect();
        let figures = figures.map_err(|e| match e {
            TrainError::Stopped => Failure::Interrupted(format!(
                "stopped after {trial} trials; they are in {}",
                folder.file("search.csv").display()
            )),
            e => Failure::usage(e),
        })?;
        let validation = figures.iter().sum::<f64>() / figures.len().max(1) as f64;
        let text = to_toml(&config, base)?;
        let changed: Vec<&str> =
            text.lines().filter(|l| l.contains('=') && !l.ends_with("# default")).map(str::trim).collect();
        log += &format!("{trial},{validation},{}\n", changed.join("; "));
        folder.write("search.csv", log.as_bytes())?;
        if best.as_ref().is_none_or(|(v, _)| validation > *v) {
            let note = format!(
                "# Trial {trial} of a search over {trials}, seed {}: mean validation figure {validation:.4} over {} splits.\n",
                base.seed,
                splits.len()
            );
            folder.write(
                "best.toml",
                (note + &to_toml(&config, &config)?.replace("  # default", "")).as_bytes(),
            )?;
            best = Some((validation, config));
        }
        progress.set(trial + 1, || {
            format!("best validation {:.2} %", 100.0 * best.as_ref().map_or(0.0, |b| b.0))
        });
    }
    progress.finish();
    best.map(|b| b.1).ok_or_else(|| Failure::usage("--search wants at least one trial"))
}
