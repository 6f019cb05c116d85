//! What a run shows: metrics.json, tables, pictures.

use models::evaluate::Figure;
use models::sampler::iwsm::weighting::WeightLevel;
use models::target::{Mixture, evaluate};
use serde_json::json;

use super::GmmConfig;
use crate::failure::Failure;
use crate::figures;
use crate::plot::{Grid, Panel, Series, density_samples, panels};
use crate::run_folder::History;
use crate::table::shortest;

/// metrics.json.
pub fn metrics_json(config: &GmmConfig, figures: &[Figure], seeds: usize) -> String {
    let head = [
        ("target", json!(config.target.name)),
        ("dim", json!(config.target.dim)),
        ("objective", json!(config.train.objective)),
        ("seed", json!(config.seed)),
        ("seeds", json!(seeds)),
        ("steps", json!(config.train.steps)),
    ];
    figures::metrics_json(&head, figures)
}

/// weights.csv: effective share of the plain weights, their square roots and the Pareto-smoothed ones, and
/// k-hat, at each noise level.
pub fn weights_csv(levels: &[WeightLevel]) -> String {
    let row =
        |l: &WeightLevel| [l.sigma, l.plain, l.k_hat, l.root, l.smoothed].map(shortest).join(",") + "\n";
    let rows = levels.iter().map(row);
    "sigma,ess,khat,ess_root,ess_smoothed\n".to_string() + &rows.collect::<String>()
}

/// Density and samples; beyond two dimensions, their first two coordinates.
pub(super) fn samples_png(config: &GmmConfig, target: &Mixture, samples: &[f64]) -> Result<Vec<u8>, Failure> {
    const N: usize = 250;
    let plane = target.first_plane();
    let reach = plane.means().iter().fold(0.0_f64, |r, m| r.max(m.abs())) + 6.0 * plane.scales()[0];
    let place = |k: usize| -reach + (k as f64 + 0.5) * 2.0 * reach / N as f64;
    let points: Vec<f64> = (0..N * N).flat_map(|k| [place(k % N), place(k / N)]).collect();
    let mut log_density = vec![0.0; N * N];
    evaluate::<f64>(&plane, &points, &mut log_density, &mut []);
    let d = config.target.dim;
    let shown: Vec<[f64; 2]> =
        samples.chunks_exact(d).take(2000).map(|x| [x[0], x.get(1).copied().unwrap_or(0.0)]).collect();
    let plane = if d == 2 { "" } else { ", first two coordinates" };
    let title = format!("{}{plane}: {} samples of {}", config.target.name, shown.len(), objective(config));
    density_samples(&title, &Grid { log_density: &log_density, n: N, low: -reach, high: reach }, &shown)
}

/// Loss, ESS, modes, in-mode share and KL against the step.
pub(super) fn training_png(
    config: &GmmConfig,
    target: &Mixture,
    history: &History,
) -> Result<Vec<u8>, Failure> {
    let end = config.train.steps as f64;
    let curve = |name: &str| Series { name: String::new(), points: history.series(name), floor: false };
    let level =
        |name: &str, y: f64| Series { name: name.into(), points: vec![(0.0, y), (end, y)], floor: true };
    let panel = |label: &str, log, series| Panel { label: label.into(), log, series };
    let all = target.components() as f64;
    let pictures = [
        panel("loss", true, vec![curve("loss")]),
        panel("ESS of the weights", false, vec![curve("ess")]),
        panel("modes found", false, vec![curve("modes_found"), level("all modes", all)]),
        panel(
            "share in a mode",
            false,
            vec![curve("in_mode"), level("exact sampling", 1.0 - (-4.5_f64).exp())],
        ),
        panel(
            "KL of mode weights",
            true,
            vec![curve("mode_kl"), level("1000 exact samples", (all - 1.0) / 2000.0)],
        ),
    ];
    panels(&format!("{}, {}", config.target.name, objective(config)), "step", &pictures)
}

fn objective(config: &GmmConfig) -> &'static str {
    match config.train.objective {
        models::sampler::iwsm::Objective::Iwsm => "IWSM",
        models::sampler::iwsm::Objective::Idem => "iDEM",
    }
}
