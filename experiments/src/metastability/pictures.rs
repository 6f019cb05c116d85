//! Pictures: phase diagrams, times at which plateaus end, and courses of single integrations.

use super::config::{Axis, MetastabilityConfig, Point, Studied};
use super::measure::{follow, linear};
use super::rows::Measured;
use crate::plot::{Map, Panel, Series, maps, panels};
use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::progress::Stages;
use crate::table::shortest;

/// Where a contrast or an energy of 0 is drawn on a logarithmic axis.
const LEAST: f64 = 1e-12;

/// What a map shows: its title, the ends of its colours, the figure.
type Shown = (&'static str, (f64, f64), fn(&MetastabilityConfig, &Measured) -> f64);

/// Clusters of a state that has lost nine tenths of its contrast are those of what is left, and say nothing.
const SHOWN: [Shown; 3] = [
    ("log10 of contrast at T over the first", (-3.0, 1.5), |plan, m| (m.contrast / plan.contrast).log10()),
    ("log10 of the end of the plateau", (0.0, 2.5), |_, m| m.to.log10()),
    ("ARI of clusters at T and classes", (0.0, 1.0), |plan, m| {
        if m.contrast > 0.1 * plan.contrast { m.ari } else { f64::NAN }
    }),
];

fn name(form: Studied) -> &'static str {
    match form {
        Studied::Paper => "r2 / r1",
        Studied::Variational => "r2",
    }
}

/// Writes phase.png: the strength of aggregation against each axis, with the line of linear stability.
pub(super) fn phase(
    plan: &MetastabilityConfig,
    folder: &RunFolder,
    measured: &[Measured],
) -> Result<(), CliError> {
    let mut all = Vec::new();
    for (form, axis) in plan.maps() {
        let (ratios, values) = (plan.ratios(form), plan.values(axis));
        let at = |value: f64, ratio: f64| {
            measured.iter().find(|m| m.is_at(Point { form, axis, value, ratio, until: plan.time }))
        };
        let line = values.iter().filter_map(|v| Some((at(*v, ratios[0])?.threshold, *v)));
        let line: Vec<(f64, f64)> = line.filter(|(x, _)| x.is_finite()).collect();
        for (title, colours, figure) in SHOWN {
            let cell = |(v, r): (f64, f64)| at(v, r).map_or(f64::NAN, |m| figure(plan, m));
            let cells = values.iter().flat_map(|v| ratios.iter().map(|r| (*v, *r)));
            all.push(Map {
                title: format!("{form}: {title}"),
                x_label: name(form).into(),
                y_label: axis.to_string(),
                x: ratios.clone(),
                y: values.to_vec(),
                log: (form == Studied::Paper, axis == Axis::Width),
                values: cells.map(cell).collect(),
                colours,
                line: line.clone(),
            });
        }
    }
    maps("Dashed: linear stability of consensus", SHOWN.len(), &all)?.write(folder, "phase")
}

/// Writes exit.png: when plateaus end, against the strength of aggregation over its threshold, and what linear theory
/// says: the plain energy of one wave changes as e^(2 rate t), and from t = 1 on stays within a factor w until
/// 1 + log(w) / (2 |rate|).
pub(super) fn exits(
    plan: &MetastabilityConfig,
    folder: &RunFolder,
    measured: &[Measured],
) -> Result<(), CliError> {
    let mut parts = Vec::new();
    for form in &plan.forms {
        let (axis, values) = plan.exit_values(*form);
        let own = |value: f64| {
            let here = measured.iter().filter(move |m| m.form == *form && m.axis == axis && m.value == value);
            here.filter(|m| m.until == plan.exit_time)
        };
        let curve = |value: &f64| Series {
            name: format!("{axis} {value}"),
            points: own(*value).map(|m| (m.ratio / m.threshold, m.to)).collect(),
            floor: false,
        };
        let mut series: Vec<Series> = values.iter().map(curve).collect();
        // Linear theory knows the axis by the threshold alone.
        let theory = |m: &Measured| 1.0 + plan.plateau.ln() / (2.0 * m.rate.abs());
        let points = own(values[0]).map(|m| (m.ratio / m.threshold, theory(m).min(plan.exit_time)));
        series.push(Series { name: "linear theory".into(), points: points.collect(), floor: true });
        parts.push(Panel { label: format!("{form}: end of the plateau"), log: true, series });
    }
    let title = format!("Plateaus of the plain energy; at t = {} they are cut", plan.exit_time);
    panels(&title, "strength of aggregation over its threshold", &parts)?.write(folder, "exit")
}

/// Writes courses.csv and courses.png: contrast, clusters and the energy of the third form against time at five
/// strengths around the threshold.
pub(super) fn courses(
    plan: &MetastabilityConfig,
    folder: &RunFolder,
    interrupt: &Interrupt,
    quiet: bool,
) -> Result<(), CliError> {
    let mut stages = Stages::new("oversmoothing", quiet);
    let mut text = String::from("form,ratio,time,contrast,plain_energy,clusters,nmi,ari,energy\n");
    let mut parts = Vec::new();
    for form in &plan.forms {
        stages.next(&format!("courses of the {form} form"));
        let (axis, value) = (Axis::Homophily, plan.homophily);
        let base = Point { form: *form, axis, value, ratio: 0.0, until: plan.exit_time };
        let threshold = linear(plan, base)?.threshold();
        let (mut contrasts, mut clusters, mut energies) = (Vec::new(), Vec::new(), Vec::new());
        for times in [0.0, 0.7, 0.95, 1.3, 3.0] {
            let ratio = times * threshold;
            if !ratio.is_finite() {
                continue;
            }
            let course = follow(plan, Point { ratio, ..base }, interrupt)?;
            for s in &course.samples {
                let figures = [ratio, s.time, s.contrast, s.plain_energy].map(shortest).join(",");
                let agreed = [s.nmi, s.ari, s.energy].map(shortest).join(",");
                text += &format!("{form},{figures},{},{agreed}\n", s.clusters);
            }
            let curve = |points: Vec<(f64, f64)>| Series {
                name: format!("{times} x threshold"),
                points,
                floor: false,
            };
            let times = || course.samples.iter().map(|s| s.time.log10());
            contrasts
                .push(curve(times().zip(course.samples.iter().map(|s| s.contrast.max(LEAST))).collect()));
            clusters.push(curve(times().zip(course.samples.iter().map(|s| s.clusters as f64)).collect()));
            let first = course.samples.first().map_or(0.0, |s| s.energy);
            energies.push(curve(times().zip(course.samples.iter().map(|s| s.energy - first)).collect()));
        }
        let panel = |label: &str, log, series| Panel { label: format!("{form}: {label}"), log, series };
        parts.push(panel("contrast", true, contrasts));
        parts.push(panel("clusters", true, clusters));
        if *form == Studied::Variational {
            parts.push(panel("energy less the first", false, energies));
        }
    }
    folder.write("courses.csv", text.as_bytes())?;
    let title = format!("Homophily {}, width {}, exponent {}", plan.homophily, plan.width, plan.exponent);
    panels(&title, "log10 of the time", &parts)?.write(folder, "courses")
}
