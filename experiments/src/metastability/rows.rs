//! What is kept of an integration, and the table of all.

use serde::{Deserialize, Serialize};

use super::config::{Axis, MetastabilityConfig, Point, Studied};
use super::measure::{Linear, Sample, follow};
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;
use crate::run::rows::Row;
use crate::table::{figure, number, plain};

/// A finished integration.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    pub form: Studied,
    pub axis: Axis,
    #[serde(serialize_with = "number")]
    pub value: f64,
    #[serde(serialize_with = "number")]
    pub ratio: f64,
    /// The last time that was asked for.
    #[serde(serialize_with = "number")]
    pub until: f64,
    /// The largest growth rate on the consensus: of the wave that diffusion forgets last, or of that in which neighbours
    /// differ most.
    #[serde(serialize_with = "number")]
    pub rate: f64,
    /// The ratio at which that is 0.
    #[serde(serialize_with = "number")]
    pub threshold: f64,
    /// Standard deviation over the mean, at the last time that was reached.
    #[serde(serialize_with = "number")]
    pub contrast: f64,
    /// The plateau of the plain energy; not a number where there is none.
    #[serde(serialize_with = "number")]
    pub from: f64,
    #[serde(serialize_with = "number")]
    pub to: f64,
    /// Whether it lasts to the last time: its end is not known then.
    pub held: bool,
    /// Clusters at the last time.
    pub clusters: usize,
    #[serde(serialize_with = "number")]
    pub nmi: f64,
    #[serde(serialize_with = "number")]
    pub ari: f64,
    /// The last time that was reached: an earlier one where the equation could be followed no further.
    #[serde(serialize_with = "number")]
    pub time: f64,
    /// The energy at the last time less that at the first; not a number where there is none.
    #[serde(serialize_with = "number")]
    pub energy: f64,
    /// The largest rise of the energy between two times, over its size.
    #[serde(serialize_with = "number")]
    pub rise: f64,
}

impl Row for Measured {
    const FILE: &'static str = "metastability.csv";
    const COLUMNS: &'static str =
        "form,axis,value,ratio,until,rate,threshold,contrast,from,to,held,clusters,nmi,ari,time,energy,rise";
}

impl Measured {
    /// Whether it is the integration of that point.
    pub fn is_at(&self, point: Point) -> bool {
        let Self { form, axis, value, ratio, until, .. } = *self;
        Point { form, axis, value, ratio, until } == point
    }
}

/// Follows the equation of a point, and measures.
pub(super) fn measure(
    plan: &MetastabilityConfig,
    point: Point,
    theory: Linear,
    interrupt: &Interrupt,
) -> Result<Measured, CliError> {
    let course = follow(plan, point, interrupt)?;
    let (from, to, held) = course.plateau(plan.plateau).unwrap_or((f64::NAN, f64::NAN, false));
    // A course that is lost before the first time has no figures, and the others stay.
    let (first, last) = (course.samples.first(), course.samples.last());
    let at = |sample: Option<&Sample>, figure: fn(&Sample) -> f64| sample.map_or(f64::NAN, figure);
    let rises =
        course.samples.windows(2).map(|pair| (pair[1].energy - pair[0].energy) / pair[0].energy.abs());
    Ok(Measured {
        form: point.form,
        axis: point.axis,
        value: point.value,
        ratio: point.ratio,
        until: point.until,
        rate: theory.rate(point.ratio),
        threshold: theory.threshold(),
        contrast: at(last, |s| s.contrast),
        from,
        to,
        held,
        clusters: last.map_or(0, |s| s.clusters),
        nmi: at(last, |s| s.nmi),
        ari: at(last, |s| s.ari),
        time: last.map_or(0.0, |s| s.time),
        energy: at(last, |s| s.energy) - at(first, |s| s.energy),
        rise: rises.fold(f64::NAN, f64::max),
    })
}

/// A row for each equation, axis and value.
pub(super) fn table(plan: &MetastabilityConfig, measured: &[Measured]) -> String {
    let mut rows = Vec::new();
    for (form, axis) in plan.maps() {
        for value in plan.values(axis) {
            let own = || {
                let here = measured.iter().filter(|m| m.form == form && m.axis == axis && m.value == *value);
                here.filter(|m| m.until == plan.time)
            };
            let Some(threshold) = own().map(|m| m.threshold).next() else { continue };
            // The first strength at which the contrast of the first state is not lost.
            let first = own().find(|m| m.contrast > plan.contrast);
            let best = own().filter(|m| m.contrast > plan.contrast).max_by(|a, b| a.ari.total_cmp(&b.ari));
            let held = own().filter(|m| m.held && m.contrast > plan.contrast).count();
            let lost = own().filter(|m| m.time < m.until * (1.0 - 1e-9)).count();
            let number = |v: Option<f64>| v.filter(|v| !v.is_nan()).map_or("-".into(), |v| figure(v, None));
            rows.push(vec![
                form.to_string(),
                format!("{axis} {value}"),
                number(Some(threshold)),
                number(first.map(|m| m.ratio)),
                format!("{held} of {}", own().count()),
                number(best.map(|m| m.ari)),
                number(best.map(|m| m.ratio)),
                lost.to_string(),
            ]);
        }
    }
    plain(
        &["form", "axis", "threshold", "contrast grows from", "held to T", "best ARI", "at ratio", "lost"],
        &rows,
    )
}
