//! What a run shows: pictures and tables of samples, learning curve and weights.

use models::metrics::pair_distances;
use models::sampler::Named;
use models::sampler::iwsm::weight_report::WeightLevel;
use models::target::{ParticleSystem, Target};

use super::SampleConfig;
use crate::plot::{Cloud, Grid, Panel, Picture, Series, clouds, density_samples, panels};
use crate::run::error::CliError;
use crate::run::history::History;
use crate::table::shortest;

/// weights.csv, at each noise level: effective share of the plain weights, k-hat, effective shares of their square
/// roots and of the Pareto-smoothed ones, and the share that the plain ones would have without the noise of the draws.
pub fn weights_csv(levels: &[WeightLevel]) -> String {
    let row = |l: &WeightLevel| {
        [l.sigma, l.plain, l.k_hat, l.root, l.smoothed, l.mismatch].map(shortest).join(",") + "\n"
    };
    let rows = levels.iter().map(row);
    "sigma,ess,khat,ess_root,ess_smoothed,ess_mismatch\n".to_string() + &rows.collect::<String>()
}

/// diagnostics.csv: lists as columns, each as long as it is.
pub(super) fn lists_csv(lists: &[Named<Vec<f64>>]) -> String {
    let header: Vec<&str> = lists.iter().map(|(name, _)| *name).collect();
    let rows = lists.iter().map(|(_, v)| v.len()).max().unwrap_or(0);
    let cell = |v: &Vec<f64>, k: usize| v.get(k).map(|v| shortest(*v)).unwrap_or_default();
    let row = |k: usize| lists.iter().map(|(_, v)| cell(v, k)).collect::<Vec<_>>().join(",") + "\n";
    header.join(",") + "\n" + &(0..rows).map(row).collect::<String>()
}

/// The density in the plane of the first two coordinates, with samples; none where that density is not known.
pub(super) fn plane(
    config: &SampleConfig,
    target: &dyn Target<f64>,
    samples: &[f64],
) -> Result<Option<Picture>, CliError> {
    const N: usize = 250;
    let d = target.dim();
    let marginal = target.first_plane();
    let plane = match &marginal {
        Some(plane) => &**plane,
        None if d == 2 && target.geometry().particles().is_none() => target,
        None => return Ok(None),
    };
    let shown: Vec<[f64; 2]> =
        samples.chunks_exact(d).take(2000).map(|x| [x[0], x.get(1).copied().unwrap_or(0.0)]).collect();
    let reach = match plane.modes() {
        Some(m) => m.means.iter().fold(0.0_f64, |r, m| r.max(m.abs())) + 6.0 * m.scales[0],
        None => 1.1 * shown.iter().flatten().fold(1e-3_f64, |r, v| r.max(v.abs())),
    };
    let place = |k: usize| -reach + (k as f64 + 0.5) * 2.0 * reach / N as f64;
    let points: Vec<f64> = (0..N * N).flat_map(|k| [place(k % N), place(k / N)]).collect();
    let mut log_density = vec![0.0; N * N];
    plane.evaluate(&points, &mut log_density, &mut []).map_err(|e| CliError::Failed(e.to_string()))?;
    let which = if d == 2 { "" } else { ", first two coordinates" };
    let title = format!("{}{which}: {} samples of {}", config.target.name, shown.len(), config.method.name());
    let grid = Grid { log_density: &log_density, n: N, low: -reach, high: reach };
    density_samples(&title, &grid, &shown).map(Some)
}

/// The learning curve: a panel for each column that says something, with levels where they are known.
pub(super) fn training(
    config: &SampleConfig,
    target: &dyn Target<f64>,
    history: &History,
) -> Result<Picture, CliError> {
    let modes = target.modes().map_or(0.0, |m| m.weights.len() as f64);
    // Column, label, logarithmic, and a level to compare with.
    type Level = Option<(&'static str, f64)>;
    let known: [(&str, &str, bool, Level); 12] = [
        ("loss", "loss", true, None),
        ("ess", "ESS of the weights", false, None),
        ("modes_found", "modes found", false, Some(("all modes", modes))),
        ("in_mode", "share in a mode", false, Some(("exact sampling", 1.0 - (-4.5_f64).exp()))),
        ("mode_kl", "KL of mode weights", true, Some(("1000 exact samples", (modes - 1.0) / 2000.0))),
        ("e_w2", "E-W2", true, None),
        ("d_tv", "D-TV", true, None),
        ("energy_mean", "mean energy of samples", false, None),
        ("energy", "mean energy", false, None),
        ("acceptance", "acceptance of moves", false, None),
        ("jumps_accepted", "acceptance of jumps", false, None),
        ("move_step", "step of moves", true, None),
    ];
    let mut pictures = Vec::new();
    for (column, label, log, level) in known.into_iter().filter(|(column, ..)| history.has(column)) {
        let points = history.series(column);
        let end = points.last().map_or(1.0, |(x, _)| *x);
        let level = level.map(|(name, y)| Series {
            name: name.into(),
            points: vec![(0.0, y), (end, y)],
            floor: true,
        });
        let curve = Series { name: String::new(), points, floor: false };
        pictures.push(Panel {
            label: label.into(),
            log,
            series: std::iter::once(curve).chain(level).collect(),
        });
    }
    panels(&format!("{}, {}", config.target.name, config.method.name()), "step", &pictures)
}

/// The histogram of energies: samples, groups of chains that must agree, reference.
pub(super) fn energies(
    config: &SampleConfig,
    samples: &[f64],
    reference: Option<&[f64]>,
    chains: &[Named<Vec<f64>>],
) -> Result<Picture, CliError> {
    let curves = vec![panel("density", histograms(samples, reference.unwrap_or_default(), chains))];
    panels(&format!("{}: energy", config.target.name), "energy", &curves)
}

/// Bins of a histogram.
const BINS: usize = 80;

/// Densities of samples, of groups of chains and of the reference on common bins that hold nearly all of the
/// reference.
fn histograms(samples: &[f64], reference: &[f64], chains: &[Named<Vec<f64>>]) -> Vec<Series> {
    let mut sorted = if reference.is_empty() { samples.to_vec() } else { reference.to_vec() };
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
    let mut all = vec![series("samples", samples, false)];
    all.extend(chains.iter().map(|(name, e)| series(name, e, false)));
    all.extend((!reference.is_empty()).then(|| series("reference", reference, true)));
    all
}

fn panel(label: &str, series: Vec<Series>) -> Panel {
    Panel { label: label.into(), log: false, series }
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
pub(super) fn distances(
    config: &SampleConfig,
    system: ParticleSystem,
    samples: &[f64],
    reference: &[f64],
) -> Result<Picture, CliError> {
    let wrong = |e| CliError::Failed(format!("the samples cannot be drawn: {e}"));
    let pairs = |x: &[f64]| pair_distances(x, system).map_err(wrong);
    let radii = |x: &[f64]| -> Vec<f64> {
        x.chunks_exact(system.space).map(|x| x.iter().map(|v| v * v).sum::<f64>().sqrt()).collect()
    };
    let of_pairs = histograms(&pairs(samples)?, &pairs(reference)?, &[]);
    let density = radial(system, &of_pairs);
    let curves = vec![
        panel("pair distances", of_pairs),
        panel("radial distribution", density),
        panel("distances from the centre", histograms(&radii(samples), &radii(reference), &[])),
    ];
    panels(&format!("{}: distances", config.target.name), "distance", &curves)
}

/// The median distance of a particle from its nearest neighbour, over the first states.
fn nearest_neighbour(system: ParticleSystem, states: &[f64]) -> f64 {
    let d = system.space;
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let mut nearest: Vec<f64> = Vec::new();
    for x in states.chunks_exact(system.dim()).take(100) {
        for (i, a) in x.chunks_exact(d).enumerate() {
            let others = x.chunks_exact(d).enumerate().filter(|(j, _)| *j != i);
            nearest.push(others.map(|(_, b)| apart(a, b)).fold(f64::INFINITY, f64::min));
        }
    }
    nearest.sort_unstable_by(f64::total_cmp);
    nearest.get(nearest.len() / 2).copied().unwrap_or(0.0)
}

/// Three samples and three reference states, their first two coordinates; pairs near each other are joined.
pub(super) fn structures(
    system: ParticleSystem,
    (samples, energies): (&[f64], &[f64]),
    (reference, reference_energies): (&[f64], &[f64]),
) -> Result<Picture, CliError> {
    let (d, n) = (system.space, system.particles);
    let near = 1.3 * nearest_neighbour(system, reference);
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
