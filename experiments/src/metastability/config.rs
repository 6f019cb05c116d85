//! What to run: equations, a graph, and the numbers that are varied.

use std::fmt;

use models::gnn::data::regular::RegularBlocks;
use models::gnn::equations::coefficient::Dependence;
use models::gnn::equations::{Form, GradeSettings, Kernel, Mobility, Sigma};
use models::gnn::networks::{Continuous, Solver};
use models::gnn::{Network, Normalisation};
use models::range::{self, Range};
use serde::{Deserialize, Serialize};

use crate::run::error::CliError;

/// Homophily of a graph from what is asked for, at most.
const FAR: f64 = 0.05;

/// Equations whose metastability is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Studied {
    /// The paper form: upwind mobility, Gaussian kernel, b = -1, so that equal states attract each other.
    Paper,
    /// The third form.
    Variational,
}

/// What is varied beside the strength of aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Width of the kernel.
    Width,
    /// m of sigma(x) = x^m.
    Exponent,
    /// Share of edges within a class.
    Homophily,
}

impl Axis {
    /// Those that an equation has.
    pub fn of(form: Studied) -> &'static [Self] {
        match form {
            Studied::Paper => &[Self::Width, Self::Exponent, Self::Homophily],
            Studied::Variational => &[Self::Homophily],
        }
    }
}

impl fmt::Display for Studied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paper => "paper",
            Self::Variational => "variational",
        })
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Width => "width",
            Self::Exponent => "exponent",
            Self::Homophily => "homophily",
        })
    }
}

/// Everything that a study depends on. r1 = 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetastabilityConfig {
    /// Seed of the graph and of the first state.
    pub seed: u64,
    /// paper, variational.
    pub forms: Vec<Studied>,
    /// Nodes of each of the two classes.
    pub half: usize,
    /// Neighbours of a node.
    pub degree: usize,
    /// Channels of the state.
    pub channels: usize,
    /// Mean of the first state.
    pub level: f64,
    /// Standard deviation of the first state over its mean.
    pub contrast: f64,
    /// Share of the variance of the first state that the class explains.
    pub signal: f64,
    /// The last time of the phase diagrams.
    pub time: f64,
    /// The last time of the study of exits, another one.
    pub exit_time: f64,
    /// Times at which states are looked at, evenly on a logarithmic scale from 1 on.
    pub samples: usize,
    /// Largest over smallest plain energy on a plateau.
    pub plateau: f64,
    /// r2 / r1 of the paper form, from the first to the last in steps of one factor.
    pub ratios: (f64, f64),
    /// r2 of the variational form, whose balance does not depend on r1; from the first to the last in even steps.
    pub strengths: (f64, f64),
    /// How many of each.
    pub steps: usize,
    /// Width of the kernel where it is not varied.
    pub width: f64,
    /// Exponent of sigma where it is not varied.
    pub exponent: f64,
    /// Homophily where it is not varied.
    pub homophily: f64,
    /// Widths of the kernel.
    pub widths: Vec<f64>,
    /// Exponents of sigma.
    pub exponents: Vec<f64>,
    /// Homophilies.
    pub homophilies: Vec<f64>,
    /// Widths of the kernel at which exits from plateaus are measured.
    pub exit_widths: Vec<f64>,
    /// At which multiples of the threshold of linear stability.
    pub multiples: Vec<f64>,
}

impl Default for MetastabilityConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            forms: vec![Studied::Paper, Studied::Variational],
            half: 60,
            degree: 20,
            channels: 4,
            level: 1.0,
            contrast: 0.1,
            signal: 0.2,
            time: 300.0,
            exit_time: 3000.0,
            samples: 120,
            plateau: 1.1,
            ratios: (0.01, 0.3),
            strengths: (1.0, 16.0),
            steps: 16,
            width: 1.0,
            exponent: 1.0,
            homophily: 0.9,
            widths: vec![0.05, 0.1, 0.2, 0.5, 1.0, 2.0],
            exponents: vec![1.0, 1.5, 2.0, 2.5, 3.0, 4.0],
            homophilies: vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
            exit_widths: vec![0.2, 0.5, 2.0],
            multiples: vec![
                0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0,
                5.0,
            ],
        }
    }
}

/// One integration: an equation, the value of an axis, the strength of aggregation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The equation.
    pub form: Studied,
    /// What is varied.
    pub axis: Axis,
    /// Its value.
    pub value: f64,
    /// r2 / r1 (r1 = 1).
    pub ratio: f64,
    /// The last time.
    pub until: f64,
}

impl MetastabilityConfig {
    /// The values of an axis.
    pub fn values(&self, axis: Axis) -> &[f64] {
        match axis {
            Axis::Width => &self.widths,
            Axis::Exponent => &self.exponents,
            Axis::Homophily => &self.homophilies,
        }
    }

    /// The strengths of aggregation of an equation.
    pub fn ratios(&self, form: Studied) -> Vec<f64> {
        let share = |k: usize| k as f64 / (self.steps.max(2) - 1) as f64;
        let all = 0..self.steps;
        let mut ratios: Vec<f64> = match form {
            Studied::Paper => {
                let (first, last) = self.ratios;
                all.map(|k| rounded(first * (last / first).powf(share(k)))).collect()
            }
            Studied::Variational => {
                let (first, last) = self.strengths;
                all.map(|k| rounded(first + (last - first) * share(k))).collect()
            }
        };
        // A row is known by its numbers: two that are rounded to one are one.
        ratios.dedup();
        ratios
    }

    /// Every equation with each of its axes.
    pub fn maps(&self) -> impl Iterator<Item = (Studied, Axis)> {
        self.forms.iter().flat_map(|form| Axis::of(*form).iter().map(|axis| (*form, *axis)))
    }

    /// The integrations of the phase diagrams.
    pub fn phase_points(&self) -> Vec<Point> {
        let of = |(form, axis): (Studied, Axis)| {
            let ratios = self.ratios(form);
            self.values(axis).iter().flat_map(move |value| {
                let point = move |ratio: f64| Point { form, axis, value: *value, ratio, until: self.time };
                ratios.clone().into_iter().map(point)
            })
        };
        self.maps().flat_map(of).collect()
    }

    /// The axis and its values along which exits are measured.
    pub fn exit_values(&self, form: Studied) -> (Axis, &[f64]) {
        match form {
            Studied::Paper => (Axis::Width, &self.exit_widths),
            Studied::Variational => (Axis::Homophily, std::slice::from_ref(&self.homophily)),
        }
    }

    /// The times at which states are looked at, up to the last one.
    pub fn times(&self, last: f64) -> Vec<f64> {
        let share = |k: usize| k as f64 / (self.samples - 1) as f64;
        (0..self.samples).map(|k| last.powf(share(k))).collect()
    }

    /// The value of an axis at a point.
    fn at(&self, point: Point, axis: Axis) -> f64 {
        match axis {
            _ if axis == point.axis => point.value,
            Axis::Width => self.width,
            Axis::Exponent => self.exponent,
            Axis::Homophily => self.homophily,
        }
    }

    /// The graph of a point. Neighbours in the own class come in pairs.
    pub fn blocks(&self, point: Point) -> RegularBlocks {
        let inner = 2 * (0.5 * self.degree as f64 * self.at(point, Axis::Homophily)).round() as usize;
        RegularBlocks { half: self.half, inner, outer: self.degree.saturating_sub(inner) }
    }

    /// The equation of a point, with this strength of aggregation.
    pub fn network(&self, point: Point, ratio: f64) -> Network {
        let mut grade = Continuous::<GradeSettings>::default();
        (grade.mixing.attention, grade.mixing.loops) = (false, false);
        // On a regular graph row-normalised weights are symmetric.
        grade.mixing.normalisation = Normalisation::Row;
        let exponent = self.at(point, Axis::Exponent);
        let form = match point.form {
            Studied::Paper => Form::Paper,
            Studied::Variational => {
                grade.integration.solver = Solver::Implicit;
                Form::Variational
            }
        };
        let nonlinear = form == Form::Paper && exponent != 1.0;
        grade.equation = GradeSettings {
            form,
            kernel: Kernel::Gauss,
            mobility: Mobility::Upwind,
            sigma: if nonlinear { Sigma::Power(exponent) } else { Sigma::Identity },
            diffusion: 1.0,
            aggregation: ratio,
            width: self.at(point, Axis::Width),
            alpha: Dependence::Scalar,
            beta: Dependence::Scalar,
            ..GradeSettings::default()
        };
        Network::Grade(grade)
    }

    /// An error if a value is outside its range.
    ///
    /// # Errors
    /// The key, its value and the range.
    pub fn check(&self) -> Result<(), CliError> {
        let count = |key, v: usize, most: f64| (key, v as f64, Range::Between(1.0, most));
        let mut ranges = vec![
            count("half", self.half, 100_000.0),
            count("degree", self.degree, 10_000.0),
            count("channels", self.channels, 1000.0),
            ("samples", self.samples as f64, Range::Between(2.0, 100_000.0)),
            ("steps", self.steps as f64, Range::Between(2.0, 1000.0)),
            ("level", self.level, Range::Positive),
            ("contrast", self.contrast, Range::Above(0.0, 0.4)),
            ("signal", self.signal, Range::Between(0.0, 1.0)),
            ("time", self.time, Range::Above(1.0, 1e9)),
            ("exit_time", self.exit_time, Range::Above(1.0, 1e9)),
            ("plateau", self.plateau, Range::Above(1.0, 10.0)),
            ("ratios", self.ratios.0, Range::Positive),
            ("ratios", self.ratios.1, Range::Above(self.ratios.0, f64::MAX)),
            ("strengths", self.strengths.0, Range::Between(0.0, 20.0)),
            ("strengths", self.strengths.1, Range::Above(self.strengths.0, 20.0)),
        ];
        ranges.extend(self.widths.iter().chain([&self.width]).map(|v| ("widths", *v, Range::Positive)));
        let exponents = self.exponents.iter().chain([&self.exponent]);
        ranges.extend(exponents.map(|v| ("exponents", *v, Range::Between(1.0, 100.0))));
        let homophilies = self.homophilies.iter().chain([&self.homophily]);
        ranges.extend(homophilies.map(|v| ("homophilies", *v, Range::Between(0.0, 1.0))));
        ranges.extend(self.exit_widths.iter().map(|v| ("exit_widths", *v, Range::Positive)));
        ranges.extend(self.multiples.iter().map(|v| ("multiples", *v, Range::Between(0.0, 1000.0))));
        range::check(&ranges).map_err(CliError::usage)?;
        if self.exit_time == self.time {
            return Err(CliError::usage(format!(
                "exit_time and time are both {}; rows are told apart by them",
                self.time
            )));
        }
        if self.forms.is_empty() {
            return Err(CliError::usage("forms is empty; give paper, variational or both"));
        }
        let lists = [
            ("widths", &self.widths),
            ("exponents", &self.exponents),
            ("homophilies", &self.homophilies),
            ("exit_widths", &self.exit_widths),
            ("multiples", &self.multiples),
        ];
        for (key, values) in lists {
            if values.is_empty() || values.windows(2).any(|pair| pair[1] <= pair[0]) {
                return Err(CliError::usage(format!(
                    "{key} = {values:?} must have values, and they must increase"
                )));
            }
        }
        if self.forms.iter().enumerate().any(|(k, form)| self.forms[..k].contains(form)) {
            return Err(CliError::usage("forms names an equation twice"));
        }
        for (form, axis) in self.maps() {
            self.values(axis).iter().try_for_each(|value| self.check_graph(form, axis, *value))?;
        }
        // The graph of exits and courses.
        self.forms.iter().try_for_each(|form| self.check_graph(*form, Axis::Homophily, self.homophily))
    }

    /// An error if there is no such graph, or its homophily is another, or it falls apart: then there are other
    /// equilibria than consensus.
    fn check_graph(&self, form: Studied, axis: Axis, value: f64) -> Result<(), CliError> {
        let point = Point { form, axis, value, ratio: 0.0, until: self.time };
        let (blocks, wanted, degree) = (self.blocks(point), self.at(point, Axis::Homophily), self.degree);
        let graph = blocks
            .draw(self.seed)
            .map_err(|e| CliError::usage(format!("half = {} and degree = {degree}: {e}", self.half)))?;
        let drawn = blocks.inner as f64 / degree as f64;
        if blocks.inner > degree || (wanted - drawn).abs() > FAR {
            return Err(CliError::usage(format!(
                "homophily = {wanted} and degree = {degree}: neighbours in the own class come in pairs, and {} of them are a homophily of {drawn:.3}; raise degree",
                blocks.inner
            )));
        }
        match graph.components().1 {
            1 => Ok(()),
            parts => Err(CliError::usage(format!(
                "homophily = {wanted}, half = {} and degree = {degree}: the graph falls into {parts} parts; take another homophily, or raise degree",
                self.half
            ))),
        }
    }
}

/// A number with three digits, as tables show it.
fn rounded(v: f64) -> f64 {
    if v == 0.0 {
        return 0.0;
    }
    let unit = 10f64.powi(2 - v.abs().log10().floor() as i32);
    (v * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_what_is_not_is_named() {
        let plan = MetastabilityConfig::default();
        plan.check().unwrap();
        assert_eq!(plan.phase_points().len(), 16 * (6 + 6 + 10 + 10));
        let error = |change: &dyn Fn(&mut MetastabilityConfig)| {
            let mut plan = plan.clone();
            change(&mut plan);
            plan.check().unwrap_err().to_string()
        };
        assert!(error(&|p| p.half = 5).contains("half = 5 and degree = 20: a class of 5 nodes"));
        assert!(error(&|p| p.degree = 10).contains("homophily = 0.9 and degree = 10: neighbours"));
        let apart = |p: &mut MetastabilityConfig| p.homophilies = vec![1.0];
        assert!(
            error(&apart).contains("homophily = 1, half = 60 and degree = 20: the graph falls into 2 parts")
        );
        let third = |p: &mut MetastabilityConfig| {
            (p.forms, p.homophilies, p.half) = (vec![Studied::Variational], vec![0.1], 15);
        };
        assert!(error(&third).contains("a class of 15 nodes is too small"), "the graph of exits");
        assert!(error(&|p| p.contrast = 0.5).contains("contrast = 0.5 must"));
        assert!(error(&|p| p.forms.clear()).contains("forms is empty"));
        assert!(error(&|p| p.multiples.clear()).contains("multiples = [] must have values"));
        assert!(error(&|p| p.exit_time = p.time).contains("exit_time and time are both 300"));
        assert!(error(&|p| p.forms = vec![Studied::Paper; 2]).contains("twice"));
        assert!(error(&|p| p.widths = vec![2.0, 1.0]).contains("widths = [2.0, 1.0] must have values, and"));
        assert!(error(&|p| p.ratios = (0.1, 0.1)).contains("ratios = 0.1 must be above 0.1"));
    }

    #[test]
    fn ratios_and_times_have_the_ends_that_are_asked_for() {
        let plan = MetastabilityConfig::default();
        let paper = plan.ratios(Studied::Paper);
        assert_eq!((paper[0], paper[15], paper.len()), (0.01, 0.3, 16));
        let third = plan.ratios(Studied::Variational);
        assert_eq!((third[0], third[1], third[15]), (1.0, 2.0, 16.0));
        let close = MetastabilityConfig { strengths: (10.0, 10.3), steps: 50, ..plan.clone() };
        assert_eq!(close.ratios(Studied::Variational), [10.0, 10.1, 10.2, 10.3]);
        let times = plan.times(plan.time);
        assert_eq!((times[0], times.len()), (1.0, 120));
        assert!((times[119] - 300.0).abs() < 1e-9);
    }
}
