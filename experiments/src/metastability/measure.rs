//! One integration and what is measured along it.

use std::ops::ControlFlow;

use engine::rng::Stream;
use models::gnn::Dataset;
use models::gnn::data::regular::extreme_waves;
use models::gnn::oversmoothing::clusters::{agreement, clusters, spread};
use models::gnn::oversmoothing::flow::Flow;
use models::gnn::oversmoothing::smoothing::{plateau, smoothness};

use super::config::{MetastabilityConfig, Point, Studied};
use crate::run::error::CliError;
use crate::run::interrupt::Interrupt;

/// A state whose standard deviation over its mean is less than this is a consensus: what is left is rounding.
const CONSENSUS: f64 = 1e-6;
/// Last time over first time of a plateau, at least: what is shorter is none.
const LENGTH: f64 = 2.0;

/// The state at a time.
pub(super) struct Sample {
    pub time: f64,
    /// Standard deviation over the mean.
    pub contrast: f64,
    pub plain_energy: f64,
    pub clusters: usize,
    /// Of the clusters and the classes.
    pub nmi: f64,
    pub ari: f64,
    /// The energy that the equation lowers; not a number where it has none.
    pub energy: f64,
}

/// What linear theory says of a value, for every strength of aggregation: the growth rates on the consensus of the two
/// extreme waves, of the slowest one and of that in which neighbours differ most. They are affine in the strength.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    /// Without aggregation, and what a strength of 1 adds, for each wave.
    waves: [[f64; 2]; 2],
}

impl Linear {
    /// The largest growth rate at a strength.
    pub fn rate(self, ratio: f64) -> f64 {
        self.waves.iter().fold(f64::NEG_INFINITY, |most, [still, slope]| most.max(still + ratio * slope))
    }

    /// The strength from which on one of the waves grows; not a number where none does.
    pub fn threshold(self) -> f64 {
        let each = self.waves.iter().map(|[still, slope]| -still / slope);
        each.filter(|ratio| *ratio > 0.0 && ratio.is_finite()).fold(f64::NAN, f64::min)
    }
}

/// The course of an integration.
pub(super) struct Course {
    pub samples: Vec<Sample>,
    /// Why it could not be followed to its end.
    pub lost: Option<String>,
}

impl Course {
    /// The longest plateau of the plain energy before consensus, and whether it lasts to the last time.
    pub fn plateau(&self, within: f64) -> Option<(f64, f64, bool)> {
        let alive = self.samples.iter().take_while(|s| s.contrast >= CONSENSUS);
        let series: Vec<(f64, f64)> = alive.map(|s| (s.time, s.plain_energy)).collect();
        let (from, to) = plateau(&series, within).filter(|(from, to)| *to >= LENGTH * from)?;
        let held = self.lost.is_none() && self.samples.last().is_some_and(|last| last.time == to);
        Some((from, to, held))
    }
}

/// Growth rates on a consensus by the velocity itself, at two strengths of aggregation.
pub(super) fn linear(plan: &MetastabilityConfig, point: Point) -> Result<Linear, CliError> {
    let data = plan.blocks(point).draw(plan.seed).map_err(CliError::Failed)?;
    let consensus = vec![plan.level; plan.channels * data.nodes()];
    let mut waves = [[0.0; 2]; 2];
    for (own, (_, wave)) in waves.iter_mut().zip(extreme_waves(&data)) {
        let rate = |ratio: f64| flow(plan, point, ratio, &data, &consensus)?.growth(plan.level, &wave);
        let still = rate(0.0).map_err(CliError::Failed)?;
        *own = [still, rate(1.0).map_err(CliError::Failed)? - still];
    }
    Ok(Linear { waves })
}

/// What linear theory says of each point; points that differ in strength and time alone share it.
pub(super) fn theory(plan: &MetastabilityConfig, points: &[Point]) -> Result<Vec<Linear>, CliError> {
    let alike = |a: &Point, b: &Point| (a.form, a.axis, a.value) == (b.form, b.axis, b.value);
    let mut known: Vec<(Point, Linear)> = Vec::new();
    let mut of = |point: &Point| match known.iter().find(|(other, _)| alike(point, other)) {
        Some((_, linear)) => Ok(*linear),
        None => linear(plan, *point).inspect(|linear| known.push((*point, *linear))),
    };
    points.iter().map(&mut of).collect()
}

/// The integrations after which exits are known: at multiples of the threshold of each value.
pub(super) fn exit_points(plan: &MetastabilityConfig) -> Result<Vec<Point>, CliError> {
    let mut points = Vec::new();
    for form in &plan.forms {
        let (axis, values) = plan.exit_values(*form);
        for value in values {
            let still = Point { form: *form, axis, value: *value, ratio: 0.0, until: plan.exit_time };
            let threshold = linear(plan, still)?.threshold();
            let at = |multiple: &f64| Point { ratio: multiple * threshold, ..still };
            // The strength of the third form has an end.
            let known = |point: &Point| plan.network(*point, point.ratio).settings().check().is_ok();
            points
                .extend(plan.multiples.iter().map(at).filter(|point| point.ratio.is_finite()).filter(known));
        }
    }
    Ok(points)
}

/// Follows the equation of a point from the first state.
pub(super) fn follow(
    plan: &MetastabilityConfig,
    point: Point,
    interrupt: &Interrupt,
) -> Result<Course, CliError> {
    let data = plan.blocks(point).draw(plan.seed).map_err(CliError::Failed)?;
    let x0 = first_state(plan, &data);
    let mut flow = flow(plan, point, point.ratio, &data, &x0).map_err(CliError::Failed)?;
    let mut samples = Vec::new();
    let end = flow.run(&plan.times(point.until), |flow, time, x| {
        samples.push(sample(plan, &data, flow, time, x));
        if interrupt.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    match end {
        Ok(ControlFlow::Break(())) => Err(CliError::Interrupted("stopped".into())),
        Ok(ControlFlow::Continue(())) => Ok(Course { samples, lost: None }),
        Err(why) => Ok(Course { samples, lost: Some(why) }),
    }
}

fn flow(
    plan: &MetastabilityConfig,
    point: Point,
    ratio: f64,
    data: &Dataset,
    x0: &[f64],
) -> Result<Flow, String> {
    let mut flow = Flow::new(&plan.network(point, ratio), data, x0, plan.seed)?;
    // b = -1 attracts; of the third form beta = 2 r2 s(0) = r2.
    flow.set("beta", if point.form == Studied::Paper { -1.0 } else { 0.0 })?;
    Ok(flow)
}

/// level (1 + contrast (the sign of the class and noise, by their shares of the variance)).
fn first_state(plan: &MetastabilityConfig, data: &Dataset) -> Vec<f64> {
    let mut x = vec![0.0; plan.channels * data.nodes()];
    Stream::new(plan.seed, "first state", 0, 0).fill_uniform(&mut x);
    let (class, noise) = (plan.signal.sqrt(), (1.0 - plan.signal).sqrt());
    for (x, label) in x.chunks_exact_mut(plan.channels).zip(&data.labels) {
        let sign = if *label == 0 { 1.0 } else { -1.0 };
        // sqrt 12 (u - 1/2) has variance 1 and lies within sqrt 3.
        x.iter_mut().for_each(|v| {
            let both = class * sign + noise * 12f64.sqrt() * (*v - 0.5);
            *v = plan.level * (1.0 + plan.contrast * both);
        });
    }
    x
}

fn sample(plan: &MetastabilityConfig, data: &Dataset, flow: &mut Flow, time: f64, x: &[f64]) -> Sample {
    let contrast = (spread(x, data.nodes()) / x.len() as f64).sqrt() / plan.level;
    let (own, clusters) = match contrast < CONSENSUS {
        true => (vec![0; data.nodes()], 1),
        false => clusters(data, x),
    };
    let agreed = agreement(own.iter().zip(&data.labels).map(|(a, b)| (*a, *b as usize)));
    Sample {
        time,
        contrast,
        plain_energy: smoothness(data, x).plain_energy,
        clusters,
        nmi: agreed.nmi,
        ari: agreed.ari,
        energy: flow.energy(x).ok().flatten().unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Axis;
    use super::*;

    fn small() -> MetastabilityConfig {
        MetastabilityConfig {
            half: 12,
            degree: 10,
            homophily: 0.8,
            samples: 40,
            time: 100.0,
            ..Default::default()
        }
    }

    #[test]
    fn thresholds_are_those_of_the_formulas() {
        let plan = small();
        let of = |form, axis, value| {
            let point = Point { form, axis, value, ratio: 1.0, until: 100.0 };
            let data = plan.blocks(point).draw(plan.seed).unwrap();
            (linear(&plan, point).unwrap().threshold(), extreme_waves(&data).map(|(mu, _)| mu))
        };
        for power in [1.0, 2.0, 4.0] {
            let (threshold, [mu, _]) = of(Studied::Paper, Axis::Exponent, power);
            assert!((threshold - 0.5 * power / (10.0 * mu)).abs() < 1e-5 * power, "{threshold} {mu}");
        }
        // Waves of neighbours that differ grow too, and where edges join the classes theirs is the first.
        for homophily in [0.2, 0.8] {
            let (threshold, mu) = of(Studied::Variational, Axis::Homophily, homophily);
            let steepest = mu.iter().fold(0.0_f64, |m, mu| m.max(mu * mu));
            assert!((threshold - 4.0 / steepest).abs() < 1e-4, "{threshold} {mu:?}");
        }
    }

    #[test]
    fn contrast_falls_below_the_threshold_and_grows_above_it() {
        let plan = small();
        let interrupt = Interrupt::default();
        for (form, axis, value) in
            [(Studied::Paper, Axis::Width, 1.0), (Studied::Variational, Axis::Homophily, 0.8)]
        {
            let mut point = Point { form, axis, value, ratio: 1.0, until: 100.0 };
            let threshold = linear(&plan, point).unwrap().threshold();
            let mut end = |times: f64| {
                point.ratio = times * threshold;
                let course = follow(&plan, point, &interrupt).unwrap();
                assert_eq!(course.lost, None);
                (course.samples[0].contrast, course.samples[39].contrast)
            };
            let (first, last) = end(0.5);
            assert!(last < 0.01 * first, "{form}: {first} to {last}");
            let (first, last) = end(1.5);
            assert!(last > first, "{form}: {first} to {last}");
        }
    }

    #[test]
    fn a_plateau_that_ends_with_the_last_time_is_held() {
        let sample = |time: f64, plain_energy: f64| Sample {
            time,
            contrast: 0.1,
            plain_energy,
            clusters: 2,
            nmi: 1.0,
            ari: 1.0,
            energy: f64::NAN,
        };
        let of = |energies: &[f64]| {
            let samples = energies.iter().enumerate().map(|(k, e)| sample(2f64.powi(k as i32), *e)).collect();
            Course { samples, lost: None }.plateau(1.1)
        };
        assert_eq!(of(&[9.0, 1.0, 1.0, 1.0, 0.1]), Some((2.0, 8.0, false)));
        assert_eq!(of(&[9.0, 1.0, 1.0, 1.0]), Some((2.0, 8.0, true)));
        assert_eq!(of(&[8.0, 4.0, 2.0, 1.0]), None);
        let mut course = Course { samples: vec![sample(1.0, 1.0), sample(1.9, 1.0)], lost: None };
        assert_eq!(course.plateau(1.1), None, "too short");
        course.samples.push(sample(2.0, 1.0));
        assert_eq!(course.plateau(1.1), Some((1.0, 2.0, true)));
        course.samples[2].contrast = 1e-9;
        assert_eq!(course.plateau(1.1), None, "consensus");
    }
}
