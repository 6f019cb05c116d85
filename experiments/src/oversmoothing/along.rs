//! Trained networks along their own time: the state after a part of the integration, with the parameters that were
//! learned for the whole of it.

use engine::Params;
use models::gnn::oversmoothing::clusters::{against_classes, clusters};
use models::gnn::oversmoothing::k_means::k_means;
use models::gnn::oversmoothing::rank::numerical_rank;
use models::gnn::oversmoothing::smoothing::smoothness;
use models::gnn::training::train::{TrainError, states};
use models::gnn::{Dataset, Network};
use serde::{Deserialize, Serialize};

use super::config::Job;
use super::{OversmoothingConfig, line};
use crate::plot::{Panel, Series, panels};
use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::run::rows::Row;
use crate::table::number;

/// A state on the way of a training's network.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Along {
    pub model: String,
    pub depth: usize,
    pub split: usize,
    pub seed: u64,
    /// Where on the way to the depth; 0 is the state before the integration.
    pub time: usize,
    #[serde(serialize_with = "number")]
    pub plain_energy: f64,
    #[serde(serialize_with = "number")]
    pub relative_energy: f64,
    #[serde(serialize_with = "number")]
    pub rank: f64,
    pub clusters: usize,
    /// Of the clusters and the classes, over nodes with a label.
    #[serde(serialize_with = "number")]
    pub nmi: f64,
    #[serde(serialize_with = "number")]
    pub ari: f64,
    /// The same of as many groups by k-means as there are classes: nodes with like states wherever they lie.
    #[serde(serialize_with = "number")]
    pub k_means_nmi: f64,
    #[serde(serialize_with = "number")]
    pub k_means_ari: f64,
}

impl Row for Along {
    const FILE: &'static str = "trajectory.csv";
    const COLUMNS: &'static str = "model,depth,split,seed,time,plain_energy,relative_energy,rank,clusters,nmi,ari,k_means_nmi,k_means_ari";
}

/// 0, the powers of two below a depth, and the depth.
pub(super) fn times(depth: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |t| Some(2 * t)).take_while(|t| *t < depth);
    [0].into_iter().chain(powers).chain([depth]).collect()
}

/// The states of a trained network on its way from the first state to the last; none of a network whose parameters
/// belong to single layers.
pub(super) fn along(
    plan: &OversmoothingConfig,
    data: &Dataset,
    job: Job<'_>,
    params: &Params<f32>,
    [first, last]: [&[f32]; 2],
) -> Result<Vec<Along>, TrainError> {
    // A network of one layer less than all has all parameters, or its parameters belong to layers.
    if !has_parameters(&plan.model(job.arm, job.depth.saturating_sub(1).max(1)), data, params, job.seed)? {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for time in times(job.depth) {
        if time == 0 || time == job.depth {
            out.push(measure(data, job, time, if time == 0 { first } else { last }));
            continue;
        }
        match states(data, &plan.model(job.arm, time), params, job.seed) {
            Ok([_, state, _]) => out.push(measure(data, job, time, &state)),
            // The decoder has learnt nothing of this time: scores that are not finite there are no failure.
            Err(TrainError::Diverged(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(out)
}

/// Whether these are the parameters of the network, all of them.
fn has_parameters(
    network: &Network,
    data: &Dataset,
    params: &Params<f32>,
    seed: u64,
) -> Result<bool, TrainError> {
    let mut own = Params::<f32>::new();
    network.build(data, &mut own, seed).map_err(TrainError::Settings)?;
    Ok(own.entries().eq(params.entries()))
}

fn measure(data: &Dataset, job: Job<'_>, time: usize, x: &[f32]) -> Along {
    let s = smoothness(data, x);
    let joined = against_classes(data, &clusters(data, x).0);
    let alike = against_classes(data, &k_means(x, data.nodes(), data.classes, 0));
    Along {
        model: job.arm.into(),
        depth: job.depth,
        split: job.split,
        seed: job.seed,
        time,
        plain_energy: s.plain_energy,
        relative_energy: s.relative_energy,
        rank: numerical_rank(x, data.nodes()),
        clusters: s.clusters,
        nmi: joined.nmi,
        ari: joined.ari,
        k_means_nmi: alike.nmi,
        k_means_ari: alike.ari,
    }
}

/// Draws trajectory.png: each arm at its deepest depth, as a mean over its trainings.
pub(super) fn picture(
    plan: &OversmoothingConfig,
    data: &Dataset,
    folder: &RunFolder,
    rows: &[&Along],
) -> Result<(), CliError> {
    let curves = |figure: fn(&Along) -> f64| -> Vec<Series> {
        let of = |name: &String| {
            let own = || rows.iter().filter(|row| row.model == *name);
            let deepest = own().map(|row| row.depth).max().unwrap_or(0);
            let mean = |time: usize| {
                let here = own().filter(|row| row.depth == deepest && row.time == time);
                let (sum, count) = here.fold((0.0, 0.0), |(s, n), row| (s + figure(row), n + 1.0));
                // A logarithmic axis has no 0: the state before the integration stands at 1/2.
                ((time as f64).max(0.5).log2(), sum / count)
            };
            line(&format!("{name}, {deepest}"), times(deepest).into_iter().map(mean).collect())
        };
        plan.networks.iter().filter(|name| rows.iter().any(|row| row.model == **name)).map(of).collect()
    };
    let panel = |label: &str, log, series| Panel { label: label.into(), log, series };
    let parts = [
        panel("k-means and classes: NMI", false, curves(|row| row.k_means_nmi)),
        panel("k-means and classes: ARI", false, curves(|row| row.k_means_ari)),
        panel("clusters and classes: NMI", false, curves(|row| row.nmi)),
        panel("clusters", true, curves(|row| row.clusters as f64)),
        panel("energy over variance", true, curves(|row| row.relative_energy)),
        panel("numerical rank", false, curves(|row| row.rank)),
    ];
    let title = format!("{}: states of trained networks on the way to their depth", data.name);
    panels(&title, "log2 of the time (-1: before)", &parts)?.write(folder, "trajectory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_begin_before_the_integration_and_end_with_it() {
        assert_eq!(times(1), [0, 1]);
        assert_eq!(times(8), [0, 1, 2, 4, 8]);
        assert_eq!(times(11), [0, 1, 2, 4, 8, 11]);
    }
}
