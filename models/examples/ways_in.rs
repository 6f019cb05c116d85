//! One energy by several ways: how far they differ, and how many states a second each evaluates.
//!
//! `cargo run --release -p metastable-models --example ways_in -- lj13 A.toml B.toml`: the first is what the others are
//! compared with; each is a target's name or the file of one of one's own. Clients of i-PI are to be started beside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use models::target::registry::Parameter;
use models::target::{AnyTarget, TargetConfig, TargetError, own, pilot_states};

/// States in a batch.
const BATCHES: [usize; 3] = [1, 128, 4096];
/// How long each is measured at a time, and how often in turn.
const TIME: Duration = Duration::from_millis(300);
const TURNS: usize = 5;

fn main() -> Result<(), TargetError> {
    own::tell_of_waiting(|text| eprintln!("{text}"));
    let names: Vec<String> = std::env::args().skip(1).collect();
    let targets = names.iter().map(|name| built(name)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = targets.first() else {
        println!("give a target's name or file, and others to compare with it");
        return Ok(());
    };
    let states = pilot_states(first.double(), 1.0, 4096);
    let exact = evaluated(&**first, &states)?;
    // best[batch][target]; other programs only slow a turn down.
    let mut best = vec![vec![0.0_f64; targets.len()]; BATCHES.len()];
    for _ in 0..TURNS {
        for (n, best) in BATCHES.iter().zip(&mut best) {
            for (target, best) in targets.iter().zip(best) {
                *best = best.max(rate(&**target, &states, *n)?);
            }
        }
    }
    println!("states a second, with gradients; best of {TURNS} turns\n");
    println!("{:28} {:>12} {:>12} {:>12}   largest difference", "target", "1", "128", "4096");
    for (k, (name, target)) in names.iter().zip(&targets).enumerate() {
        let columns = best.iter().map(|best| format!(" {:12.0}", best[k]));
        let difference = difference(&exact, &evaluated(&**target, &states)?);
        println!("{name:28}{}   {difference:.1e}", columns.collect::<String>());
    }
    drop(targets);
    own::close();
    Ok(())
}

fn built(name: &str) -> Result<Arc<dyn AnyTarget>, TargetError> {
    if !name.ends_with(".toml") {
        return TargetConfig::of(name)?.build();
    }
    let mut config = TargetConfig::of("own")?;
    config.parameters.insert("file".into(), Parameter::Text(name.into()));
    config.build()
}

/// log p of the states, and their scores.
fn evaluated(target: &dyn AnyTarget, states: &[f64]) -> Result<(Vec<f64>, Vec<f64>), TargetError> {
    let n = states.len() / target.double().dim();
    let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; states.len()]);
    target.double().evaluate(states, &mut log_p, &mut score)?;
    Ok((log_p, score))
}

/// The largest difference: of log p relative to it, of a score relative to the largest of its state, both at least 1.
fn difference(a: &(Vec<f64>, Vec<f64>), b: &(Vec<f64>, Vec<f64>)) -> f64 {
    let d = a.1.len() / a.0.len();
    let scores = a.1.chunks(d).zip(b.1.chunks(d));
    let log_p = a.0.iter().zip(&b.0).map(|(a, b)| (a - b).abs() / a.abs().max(1.0));
    let scores = scores.map(|(a, b)| {
        let size = a.iter().fold(1.0, |size: f64, a| size.max(a.abs()));
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
    });
    log_p.chain(scores).fold(0.0, f64::max)
}

fn rate(target: &dyn AnyTarget, states: &[f64], n: usize) -> Result<f64, TargetError> {
    let d = target.double().dim();
    let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; n * d]);
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        target.double().evaluate(&states[..n * d], &mut log_p, &mut score)?;
        count += n;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
