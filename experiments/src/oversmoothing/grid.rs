//! Untrained networks over many layers of a 10 x 10 grid with random features.

use std::ops::ControlFlow;

use engine::rng::Stream;
use models::gnn::data::synthetic::grid;
use models::gnn::oversmoothing::evolve::evolve;
use models::gnn::oversmoothing::smoothing::{plateau, smoothness};

use super::config::GRID_SIDE;
use super::{OversmoothingConfig, line};
use crate::plot::{Panel, panels};
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::{RunFolder, program};
use crate::table::{plain, shortest};

const CHANNELS: usize = 16;
/// Where an energy of 0 is drawn on a logarithmic axis.
const LEAST: f64 = 1e-20;

/// Writes energy.csv and energy.png.
pub(super) fn on_grid(
    plan: &OversmoothingConfig,
    folder: &RunFolder,
    interrupt: &Interrupt,
) -> Result<String, CliError> {
    let data = grid(GRID_SIDE);
    let mut x0 = vec![0.0_f64; CHANNELS * data.nodes()];
    Stream::new(plan.seed, "features", 0, 0).fill_uniform(&mut x0);
    let mut lines = String::from("model,layer,energy,plain_energy,mad,clusters,change\n");
    let (mut energies, mut plains, mut distances, mut rows) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in &plan.networks {
        let network = &plan.settings[name].model;
        let (mut before, mut last_change) = (x0.clone(), f64::NAN);
        let (mut energy, mut plain_energy, mut mads) = (Vec::new(), Vec::new(), Vec::new());
        let end = evolve::<f64>(network, &data, &x0, plan.layers, plan.seed, |layer, x| {
            let s = smoothness(&data, x);
            last_change = x.iter().zip(&before).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            before.copy_from_slice(x);
            energy.push((layer as f64, s.energy));
            plain_energy.push((layer as f64, s.plain_energy));
            mads.push((layer as f64, s.mad));
            let [by_degree, bare, mad, change] = [s.energy, s.plain_energy, s.mad, last_change].map(shortest);
            lines += &format!("{name},{layer},{by_degree},{bare},{mad},{},{change}\n", s.clusters);
            if interrupt.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if end.map_err(CliError::usage)?.is_break() {
            return Err(CliError::Interrupted(format!(
                "stopped; nothing is finished yet, begin again with: {}",
                program::line(format_args!("oversmoothing --resume {}", folder.path().display()))
            )));
        }
        let ratio = |e: &[(f64, f64)]| format!("{:.2e}", e[e.len() - 1].1 / e[0].1);
        let flat = plateau(&energy, 1.1).map_or(String::new(), |(a, b)| format!("{a:.0} to {b:.0}"));
        rows.push(vec![
            name.clone(),
            ratio(&energy),
            ratio(&plain_energy),
            flat,
            format!("{last_change:.1e}"),
        ]);
        let floored = |e: Vec<(f64, f64)>| e.into_iter().map(|(t, e)| (t, e.max(LEAST))).collect();
        energies.push(line(name, floored(energy)));
        plains.push(line(name, floored(plain_energy)));
        distances.push(line(name, mads));
    }
    folder.write("energy.csv", lines.as_bytes())?;
    let parts = [
        Panel { label: "Dirichlet energy, by degree".into(), log: true, series: energies },
        Panel { label: "Dirichlet energy, plain".into(), log: true, series: plains },
        Panel { label: "mean average distance".into(), log: false, series: distances },
    ];
    let picture = panels("10 x 10 grid, random features, untrained networks", "layer", &parts)?;
    picture.write(folder, "energy")?;
    Ok(plain(&["model", "energy, end / start", "plain", "plateau (within 10 %)", "last change"], &rows))
}
