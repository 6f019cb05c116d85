//! Dirichlet energy and accuracy against depth.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use engine::rng::Stream;
use experiments::cli::{Common, on_threads, parse};
use experiments::config::resolve;
use experiments::failure::{Failure, run};
use experiments::graph::{GraphConfig, preset};
use experiments::graph_data::load;
use experiments::interrupt::Interrupt;
use experiments::plot::{Panel, Series, panels};
use experiments::progress::Progress;
use experiments::run_folder::RunFolder;
use models::graph::dynamics::{Form, Kernel, Mobility};
use models::graph::evolve::{EVOLVING, evolve};
use models::graph::settings::Model;
use models::graph::smoothing::{plateau, smoothness};
use models::graph::synthetic::grid;
use models::graph::train::{TrainError, fit, states};
use models::graph::{Dataset, Normalisation};

/// Draws how alike nodes become with depth: the Dirichlet energy of untrained networks over up to 1000
/// layers of a 10 x 10 grid with random features, and, with --data, accuracy and energy of trained ones.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  oversmoothing                                     the grid, in seconds\n  oversmoothing --data cora --depths 2,8,32,128     trained networks of these depths (epochs: --set train.epochs=100)\n  oversmoothing --models grade,gcn --layers 200"
)]
struct Args {
    /// Layers on the grid.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    layers: u32,
    /// Networks: on the grid grade, grand, gcn, gat, gread-bs, acmp, kuramoto; trained any that `graph` knows.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    models: Vec<String>,
    /// Train on this data set at each depth instead.
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Folder with NAME.npz files (default: what METASTABLE_DATA names).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Depths: layers, or the integration time in steps of one.
    #[arg(long, value_delimiter = ',', default_value = "2,4,8,16,32,64,128", value_name = "LIST")]
    depths: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

fn main() -> ExitCode {
    let args = parse::<Args>();
    run(|| on_threads(args.common.threads, |threads| body(&args, threads)))
}

fn body(args: &Args, threads: usize) -> Result<(), Failure> {
    let interrupt = Interrupt::install()?;
    let seed = args.common.seed.unwrap_or(0);
    let out = args.common.out.clone().unwrap_or_else(|| RunFolder::default_path("oversmoothing", seed));
    match &args.data {
        None => on_grid(args, seed, &RunFolder::create(&out, args.common.force)?)?,
        Some(name) => {
            let data = load(name, args.data_dir.as_deref())?;
            let folder = RunFolder::create(&out, args.common.force)?;
            folder.write_environment(threads)?;
            trained(args, &data, seed, &folder, &interrupt)?;
        }
    }
    if !args.common.quiet {
        println!("{}", out.display());
    }
    Ok(())
}

/// The networks to run: those asked for, or `all`.
fn chosen(args: &Args, all: &[&str]) -> Vec<String> {
    if args.models.is_empty() { all.iter().map(|m| m.to_string()).collect() } else { args.models.clone() }
}

/// GRADE as it is shown on the grid: the paper form with upwind mobility on a symmetric graph conserves mass
/// and positivity, so that states stay bounded; the logarithmic kernel with eps < 1 attracts what is close.
fn grid_model(name: &str) -> Result<GraphConfig, Failure> {
    let mut config = preset("grid", name, None)?;
    let m = &mut config.model;
    m.step = 1.0;
    if name == "grade" {
        (m.form, m.kernel, m.mobility) = (Form::Paper, Kernel::Log, Mobility::Upwind);
        (m.normalisation, m.log_eps) = (Normalisation::Symmetric, 0.1);
        (m.diffusion, m.aggregation) = (0.25, 0.25);
    }
    Ok(config)
}

fn on_grid(args: &Args, seed: u64, folder: &RunFolder) -> Result<(), Failure> {
    const CHANNELS: usize = 16;
    let data = grid(10);
    let mut x0 = vec![0.0_f64; CHANNELS * data.nodes()];
    Stream::new(seed, "features", 0, 0).fill_uniform(&mut x0);
    let mut lines = String::from("model,layer,energy,plain_energy,mad,clusters,change\n");
    let (mut energies, mut plains, mut distances, mut rows) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in chosen(args, &EVOLVING) {
        if !EVOLVING.contains(&name.as_str()) {
            return Err(Failure::usage(format!(
                "--models {name}: on the grid there are {}",
                EVOLVING.join(", ")
            )));
        }
        let config: GraphConfig =
            resolve(&grid_model(&name)?, args.common.config.as_deref(), &args.common.sets)?;
        config.check()?;
        let mut before = x0.clone();
        let mut energy = Vec::new();
        let mut mads = Vec::new();
        let mut plain = Vec::new();
        let mut last_change = f64::NAN;
        evolve::<f64>(&config.model, &data, &x0, args.layers as usize, seed, |layer, x| {
            let s = smoothness(&data, x);
            let change = x.iter().zip(&before).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            before.copy_from_slice(x);
            last_change = change;
            energy.push((layer as f64, s.energy));
            plain.push((layer as f64, s.plain_energy));
            mads.push((layer as f64, s.mad));
            lines += &format!(
                "{name},{layer},{},{},{},{},{change}\n",
                s.energy, s.plain_energy, s.mad, s.clusters
            );
        })
        .map_err(Failure::usage)?;
        let ratio = |e: &[(f64, f64)]| format!("{:.2e}", e[e.len() - 1].1 / e[0].1);
        let flat = plateau(&energy, 1.1).map_or(String::new(), |(a, b)| format!("{a:.0} to {b:.0}"));
        rows.push(vec![name.clone(), ratio(&energy), ratio(&plain), flat, format!("{last_change:.1e}")]);
        let series = |points| Series { name: name.clone(), points, floor: false };
        let floored = |e: Vec<(f64, f64)>| e.into_iter().map(|(t, e)| (t, e.max(1e-20))).collect();
        energies.push(series(floored(energy)));
        plains.push(series(floored(plain)));
        distances.push(series(mads));
    }
    folder.write("energy.csv", lines.as_bytes())?;
    let parts = [
        Panel { label: "Dirichlet energy, by degree".into(), log: true, series: energies },
        Panel { label: "Dirichlet energy, plain".into(), log: true, series: plains },
        Panel { label: "mean average distance".into(), log: false, series: distances },
    ];
    let picture = panels("10 x 10 grid, random features, untrained networks", "layer", &parts)?;
    folder.write("energy.png", &picture)?;
    if !args.common.quiet {
        let header = ["model", "energy, end / start", "plain", "plateau (within 10 %)", "last change"];
        print!("{}", experiments::table::plain(&header, &rows));
    }
    Ok(())
}

/// A network of that depth.
fn at_depth(mut model: Model, depth: usize) -> Model {
    model.layers = depth;
    (model.time, model.step) = (depth as f64, 1.0);
    model
}

fn trained(
    args: &Args,
    data: &Dataset,
    seed: u64,
    folder: &RunFolder,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let names = chosen(args, &["grade", "grand", "gcn", "gcnii"]);
    let split = data.splits.first().ok_or_else(|| {
        Failure::usage(format!("data set {} has no fixed split; see `graph --split`", data.name))
    })?;
    let mut lines = String::from("model,depth,validation,test,energy_before,energy_after,seconds\n");
    let mut progress = Progress::new(0, (names.len() * args.depths.len()) as u64, args.common.quiet);
    let (mut accuracies, mut energies) = (Vec::new(), Vec::new());
    for name in &names {
        let config: GraphConfig =
            resolve(&preset(&data.name, name, None)?, args.common.config.as_deref(), &args.common.sets)?;
        let (mut accuracy, mut energy) = (Vec::new(), Vec::new());
        for depth in &args.depths {
            let model = at_depth(config.model.clone(), *depth);
            if let Some(problem) = model.problem().or_else(|| config.train.problem()) {
                return Err(Failure::usage(problem));
            }
            let stop = || interrupt.requested();
            let settings = (&model, &config.train);
            let row = match fit(data, split, settings, config.data.metric, seed, &stop) {
                Ok(outcome) => {
                    let [first, last, _] = states(data, &model, &outcome.params, seed)
                        .map_err(|e| Failure::Failed(e.to_string()))?;
                    let figures = outcome.figures();
                    let (before, after) = (smoothness(data, &first).energy, smoothness(data, &last).energy);
                    accuracy.push((*depth as f64, figures.test));
                    energy.push((*depth as f64, (after / before).max(1e-30)));
                    format!("{},{},{before},{after},{:.2}", figures.validation, figures.test, outcome.seconds)
                }
                // A depth at which training blows up is a result, not an end.
                Err(TrainError::Diverged(_)) => "nan,nan,nan,nan,nan".into(),
                Err(TrainError::Stopped) => {
                    return Err(Failure::Interrupted(format!(
                        "stopped; finished depths are in {}",
                        folder.path().display()
                    )));
                }
                Err(e) => return Err(Failure::usage(e)),
            };
            lines += &format!("{name},{depth},{row}\n");
            folder.write("depth.csv", lines.as_bytes())?;
            let done = lines.lines().count() as u64 - 1;
            progress.set(done, || format!("{name} at depth {depth}"));
        }
        accuracies.push(Series { name: name.clone(), points: accuracy, floor: false });
        energies.push(Series { name: name.clone(), points: energy, floor: false });
    }
    progress.finish();
    // A logarithmic axis of depths.
    for series in accuracies.iter_mut().chain(&mut energies) {
        series.points.iter_mut().for_each(|p| p.0 = p.0.log2());
    }
    let parts = [
        Panel { label: "test accuracy".into(), log: false, series: accuracies },
        Panel { label: "Dirichlet energy, end / start".into(), log: true, series: energies },
    ];
    let picture = panels(&format!("{}: trained networks, split 0", data.name), "log2 of the depth", &parts)?;
    folder.write("depth.png", &picture)?;
    if !args.common.quiet {
        print!("{lines}");
    }
    Ok(())
}
