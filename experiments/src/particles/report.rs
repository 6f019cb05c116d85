//! What a run shows: metrics.json, pictures, each against the reference.

use models::evaluate::Figure;
use models::metrics::pair_distances;
use models::target::ParticleSystem;
use serde_json::json;

use super::ParticlesConfig;
use crate::failure::Failure;
use crate::figures;
use crate::plot::{Cloud, Panel, Series, clouds, panels};
use crate::run_folder::History;

/// Bins of a histogram.
const BINS: usize = 80;

/// metrics.json.
pub fn metrics_json(config: &ParticlesConfig, figures: &[Figure], seeds: usize) -> String {
    let head = [
        ("target", json!(config.target)),
        ("objective", json!(config.train.objective)),
        ("network", json!(config.network.kind)),
        ("seed", json!(config.seed)),
        ("seeds", json!(seeds)),
        ("steps", json!(config.train.steps)),
    ];
    figures::metrics_json(&head, figures)
}

/// Densities of samples and reference on common bins that hold nearly all of the reference.
fn histograms(samples: &[f64], reference: &[f64]) -> Vec<Series> {
    let mut sorted = reference.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |p: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * p) as usize).copied().unwrap_or(0.0);
    let (low, high) = (at(0.0005), at(0.9995));
    let margin = 0.1 * (high - low);
    let (low, width) = (low - margin, (high - low + 2.0 * margin) / BINS as f64);
    let series = |name: &str, values: &[f64], floor| {
        let mut counts = [0.0; BINS];
        for v in values {
            let bin = (v - low) / width;
            if (0.0..BINS as f64).contains(&bin) {
                counts[bin as usize] += 1.0;
            }
        }
        let norm = values.len().max(1) as f64 * width;
        let points = counts.iter().enumerate().map(|(b, c)| (low + (b as f64 + 0.5) * width, c / norm));
        Series { name: name.into(), points: points.collect(), floor }
    };
    vec![series("samples", samples, false), series("reference", reference, true)]
}

fn panel(label: &str, series: Vec<Series>) -> Panel {
    Panel { label: label.into(), log: false, series }
}

/// The histogram of energies.
pub(super) fn energies_png(
    config: &ParticlesConfig,
    e: &[f64],
    reference: &[f64],
) -> Result<Vec<u8>, Failure> {
    let curves = vec![panel("density", histograms(e, reference))];
    panels(&format!("{}: energy", config.target), "energy", &curves)
}

/// The radial distribution from the density of pair distances: particles in a unit of volume (of area in the
/// plane) at the distance r from a particle, (n - 1) p(r) / S(r) with S(r) the surface of a sphere of radius r.
fn radial(system: ParticleSystem, pairs: &[Series]) -> Vec<Series> {
    use std::f64::consts::PI;
    let surface = |r: f64| match system.space {
        1 => 2.0,
        2 => 2.0 * PI * r,
        _ => 4.0 * PI * r * r,
    };
    let others = (system.particles - 1) as f64;
    let of = |pairs: &Series| Series {
        name: pairs.name.clone(),
        // The histogram's margin may reach below 0.
        points: (pairs.points.iter().filter(|(r, _)| *r > 0.0))
            .map(|(r, p)| (*r, p * (others / surface(*r))))
            .collect(),
        floor: pairs.floor,
    };
    pairs.iter().map(of).collect()
}

/// Histograms of the distances of pairs, the radial distribution, and histograms of the distances from the centre.
pub(super) fn distances_png(
    config: &ParticlesConfig,
    system: ParticleSystem,
    samples: &[f64],
    reference: &[f64],
) -> Result<Vec<u8>, Failure> {
    let wrong = |e| Failure::Failed(format!("the samples cannot be drawn: {e}"));
    let pairs = |x: &[f64]| pair_distances(x, system).map_err(wrong);
    let radii = |x: &[f64]| -> Vec<f64> {
        x.chunks_exact(system.space).map(|x| x.iter().map(|v| v * v).sum::<f64>().sqrt()).collect()
    };
    let of_pairs = histograms(&pairs(samples)?, &pairs(reference)?);
    let density = radial(system, &of_pairs);
    let curves = vec![
        panel("pair distances", of_pairs),
        panel("radial distribution", density),
        panel("distances from the centre", histograms(&radii(samples), &radii(reference))),
    ];
    panels(&format!("{}: distances", config.target), "distance", &curves)
}

/// Three samples and three reference states, their first two coordinates; pairs near each other are joined.
pub(super) fn structures_png(
    config: &ParticlesConfig,
    system: ParticleSystem,
    (samples, energies): (&[f64], &[f64]),
    (reference, reference_energies): (&[f64], &[f64]),
) -> Result<Vec<u8>, Failure> {
    let near = if config.target == "dw4" { 4.0 } else { 1.35 };
    let (d, n) = (system.space, system.particles);
    let cloud = |name: &str, x: &[f64], energy: f64, class: u32| {
        let apart =
            |i: usize, j: usize| (0..d).map(|k| (x[i * d + k] - x[j * d + k]).powi(2)).sum::<f64>().sqrt();
        let all = (0..n).flat_map(|i| (0..i).map(move |j| (i, j)));
        Cloud {
            title: format!("{name}, energy {energy:.1}"),
            points: x.chunks_exact(d).map(|p| [p[0], p[1]]).collect(),
            classes: vec![class; n],
            edges: all.filter(|(i, j)| apart(*i, *j) < near).map(|(i, j)| (i as u32, j as u32)).collect(),
            axes: ["x", "y"],
            to_scale: true,
        }
    };
    let three = |name: &'static str, x: &[f64], e: &[f64], class: u32| -> Vec<Cloud> {
        x.chunks_exact(n * d).zip(e).take(3).map(|(x, e)| cloud(name, x, *e, class)).collect()
    };
    let mut parts = three("sample", samples, energies, 0);
    parts.extend(three("reference", reference, reference_energies, 1));
    clouds(&parts)
}

/// Loss, ESS, E-W2 and D-TV against the step.
pub(super) fn training_png(config: &ParticlesConfig, history: &History) -> Result<Vec<u8>, Failure> {
    let one = |label: &str, column: &str, log| Panel {
        label: label.into(),
        log,
        series: vec![Series { name: String::new(), points: history.series(column), floor: false }],
    };
    let pictures = [
        one("loss", "loss", true),
        one("ESS of the weights", "ess", false),
        one("E-W2", "e_w2", true),
        one("D-TV", "d_tv", true),
    ];
    panels(&config.target, "step", &pictures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radial_distribution_of_a_uniform_density_is_flat() {
        for space in [1, 2, 3] {
            let system = ParticleSystem { particles: 3, space };
            // Pairs that fill space evenly up to R = 2 have p(r) = D r^(D - 1) / R^D.
            let points = (-1..8).map(|k| 0.25 * f64::from(k) + 0.1);
            let p = |r: f64| space as f64 * r.powi(space as i32 - 1) / 2f64.powi(space as i32);
            let series =
                Series { name: String::new(), points: points.map(|r| (r, p(r))).collect(), floor: false };
            let flat = radial(system, &[series]);
            let volume = [4.0, 4.0 * std::f64::consts::PI, 32.0 / 3.0 * std::f64::consts::PI][space - 1];
            assert_eq!(flat[0].points.len(), 8);
            assert!(flat[0].points.iter().all(|(_, g)| (g - 2.0 / volume).abs() < 1e-12), "{space}");
        }
    }
}
