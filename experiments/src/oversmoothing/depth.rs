//! Trained networks of several depths: accuracy, and Dirichlet energy after the integration over that before.

use models::graph::Dataset;
use models::graph::settings::Model;
use models::graph::smoothing::smoothness;
use models::graph::train::{TrainError, fit, states};

use super::{Plan, line};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::plot::{Panel, panels};
use crate::progress::Progress;
use crate::run_folder::RunFolder;
use crate::table::shortest;

const FILE: &str = "depth.csv";
const HEADER: &str = "model,depth,validation,test,energy_before,energy_after,seconds\n";

/// Trains what depth.csv does not hold yet, a row for each training, and draws depth.png.
pub(super) fn trained(
    plan: &Plan,
    data: &Dataset,
    folder: &RunFolder,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<String, Failure> {
    let mut lines = match folder.file(FILE).exists() {
        true => String::from_utf8_lossy(&folder.read(FILE)?).into_owned(),
        false => HEADER.to_string(),
    };
    let jobs = plan.networks.iter().flat_map(|name| plan.depths.iter().map(move |depth| (name, *depth)));
    let done = |lines: &str| lines.lines().count().saturating_sub(1) as u64;
    let mut progress = Progress::new(done(&lines), jobs.clone().count() as u64, quiet);
    for (name, depth) in jobs {
        let key = format!("{name},{depth},");
        if lines.lines().any(|l| l.starts_with(&key)) {
            continue;
        }
        let row = train(plan, data, (name, depth), interrupt).inspect_err(|_| progress.finish())?;
        let Some(row) = row else {
            progress.finish();
            let at = folder.path().display();
            return Err(Failure::Interrupted(format!(
                "stopped; finished depths are in {at}; go on with: oversmoothing --resume {at}"
            )));
        };
        lines += &format!("{key}{row}\n");
        folder.write(FILE, lines.as_bytes())?;
        progress.set(done(&lines), || format!("{name} at depth {depth}"));
    }
    progress.finish();
    folder.write("depth.png", &picture(plan, data, &lines)?)?;
    Ok(lines)
}

/// validation,test,energy before,energy after,seconds; nothing if it was interrupted.
fn train(
    plan: &Plan,
    data: &Dataset,
    (name, depth): (&str, usize),
    interrupt: &Interrupt,
) -> Result<Option<String>, Failure> {
    let config = &plan.settings[name];
    let model = at_depth(config.model.clone(), depth);
    if let Some(problem) = model.problem().or_else(|| config.train.problem()) {
        return Err(Failure::usage(problem));
    }
    let stop = || interrupt.requested();
    let settings = (&model, &config.train);
    match fit(data, &data.splits[0], settings, config.data.metric, plan.seed, &stop) {
        Ok(outcome) => {
            let [first, last, _] = states(data, &model, &outcome.params, plan.seed)
                .map_err(|e| Failure::Failed(e.to_string()))?;
            let (f, seconds) = (outcome.figures(), outcome.seconds);
            let [before, after] = [first, last].map(|x| shortest(smoothness(data, &x).energy));
            Ok(Some(format!("{},{},{before},{after},{seconds:.2}", f.validation, f.test)))
        }
        // A depth at which training blows up is a result, not an end.
        Err(TrainError::Diverged(_)) => Ok(Some("nan,nan,nan,nan,nan".into())),
        Err(TrainError::Stopped) => Ok(None),
        Err(e) => Err(Failure::usage(e)),
    }
}

/// A network of that depth.
fn at_depth(mut model: Model, depth: usize) -> Model {
    model.layers = depth;
    (model.time, model.step) = (depth as f64, 1.0);
    model
}

/// What the rows of depth.csv show.
fn picture(plan: &Plan, data: &Dataset, lines: &str) -> Result<Vec<u8>, Failure> {
    let (mut accuracies, mut energies) = (Vec::new(), Vec::new());
    for name in &plan.networks {
        let rows = lines.lines().filter_map(|l| l.strip_prefix(&format!("{name},")));
        let numbers = rows.map(|l| l.split(',').map(|v| v.parse::<f64>().unwrap_or(f64::NAN)).collect());
        // A row: depth, validation, test, energy before, energy after, seconds. A logarithmic axis of depths.
        let rows: Vec<Vec<f64>> =
            numbers.filter(|r: &Vec<f64>| r.len() == 6 && r.iter().all(|v| v.is_finite())).collect();
        accuracies.push(line(name, rows.iter().map(|r| (r[0].log2(), r[2])).collect()));
        energies.push(line(name, rows.iter().map(|r| (r[0].log2(), (r[4] / r[3]).max(1e-30))).collect()));
    }
    let parts = [
        Panel { label: "test accuracy".into(), log: false, series: accuracies },
        Panel { label: "Dirichlet energy, end / start".into(), log: true, series: energies },
    ];
    panels(&format!("{}: trained networks, split 0", data.name), "log2 of the depth", &parts)
}
