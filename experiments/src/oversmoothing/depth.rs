//! Trained networks of several depths: accuracy, and Dirichlet energy after the integration over that before.

use std::collections::BTreeSet;

use models::gnn::Dataset;
use models::gnn::oversmoothing::smoothing::smoothness;
use models::gnn::training::train::{TrainError, fit, states};

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
    let mut lines = finished(plan, folder)?;
    let done = |lines: &str| rows(plan, lines).count() as u64;
    let mut progress = Progress::new(done(&lines), plan.jobs().count() as u64, quiet);
    for (name, depth) in plan.jobs() {
        if rows(plan, &lines).any(|(job, _)| job == (name, depth)) {
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
        lines += &format!("{name},{depth},{row}\n");
        folder.write(FILE, lines.as_bytes())?;
        progress.set(done(&lines), || format!("{name} at depth {depth}"));
    }
    progress.finish();
    folder.write("depth.png", &picture(plan, data, &lines)?)?;
    Ok(lines)
}

/// The text of depth.csv, or its header where nothing is finished.
fn finished(plan: &Plan, folder: &RunFolder) -> Result<String, Failure> {
    if !folder.file(FILE).exists() {
        return Ok(HEADER.to_string());
    }
    let text = String::from_utf8_lossy(&folder.read(FILE)?).into_owned();
    let lines = text.strip_prefix(HEADER).filter(|lines| lines.is_empty() || lines.ends_with('\n'));
    // As many different trainings of the plan as there are lines.
    let whole = lines.is_some_and(|lines| {
        rows(plan, &text).map(|(job, _)| job).collect::<BTreeSet<_>>().len() == lines.lines().count()
    });
    whole
        .then_some(text)
        .ok_or_else(|| Failure::usage(format!("{}: damaged; start a new run", folder.file(FILE).display())))
}

/// A finished training: network and depth; validation, test, energy before, energy after, seconds.
type Row<'a> = ((&'a str, usize), [f64; 5]);

/// The rows of depth.csv.
fn rows<'a>(plan: &'a Plan, lines: &str) -> impl Iterator<Item = Row<'a>> {
    lines.lines().filter_map(|line| row(plan, line))
}

fn row<'a>(plan: &'a Plan, line: &str) -> Option<Row<'a>> {
    let mut cells = line.split(',');
    let (name, depth) = (cells.next()?, cells.next()?.parse::<usize>().ok()?);
    let numbers: Vec<f64> = cells.map(str::parse).collect::<Result<_, _>>().ok()?;
    let job = plan.jobs().find(|job| *job == (name, depth))?;
    Some((job, numbers.try_into().ok()?))
}

/// validation,test,energy before,energy after,seconds; nothing if it was interrupted.
fn train(
    plan: &Plan,
    data: &Dataset,
    (name, depth): (&str, usize),
    interrupt: &Interrupt,
) -> Result<Option<String>, Failure> {
    let config = &plan.settings[name];
    let model = plan.model(name, depth);
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

/// What the rows of depth.csv show.
fn picture(plan: &Plan, data: &Dataset, lines: &str) -> Result<Vec<u8>, Failure> {
    let (mut accuracies, mut energies) = (Vec::new(), Vec::new());
    for name in &plan.networks {
        let own = rows(plan, lines).filter(|((n, _), row)| n == name && row.iter().all(|v| v.is_finite()));
        // A logarithmic axis of depths.
        let own: Vec<(f64, [f64; 5])> = own.map(|((_, depth), row)| ((depth as f64).log2(), row)).collect();
        accuracies.push(line(name, own.iter().map(|(x, [_, test, ..])| (*x, *test)).collect()));
        let ratio = |before: f64, after: f64| (after / before).max(1e-30);
        energies.push(line(name, own.iter().map(|(x, [_, _, b, a, _])| (*x, ratio(*b, *a))).collect()));
    }
    let parts = [
        Panel { label: "test accuracy".into(), log: false, series: accuracies },
        Panel { label: "Dirichlet energy, end / start".into(), log: true, series: energies },
    ];
    panels(&format!("{}: trained networks, split 0", data.name), "log2 of the depth", &parts)
}
