//! Targets by name.
//!
//! Every file of targets lists its [`Entry`]s, and `FILES` lists the files: one line that makes a target available
//! to every program. An entry contains the function that builds the target, so that every name has one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::book::Page;
use super::{Target, TargetError};
use crate::words::hint;

/// The files of targets.
const FILES: &[&[Entry]] = &[
    super::mixture::ENTRIES,
    super::double_well::ENTRIES,
    super::lennard_jones::ENTRIES,
    super::funnel::ENTRIES,
    super::many_well::ENTRIES,
    super::multi_well::ENTRIES,
    super::two_wells::ENTRIES,
    super::student_t::ENTRIES,
    super::phi4::ENTRIES,
    super::uniform_box::ENTRIES,
    super::mueller_brown::ENTRIES,
    super::logistic_regression::ENTRIES,
    super::own::ENTRIES,
];

/// A target in single and in double precision.
pub trait AnyTarget: Target<f32> + Target<f64> {
    /// In single precision, for training.
    fn single(&self) -> &dyn Target<f32>;
    /// In double precision, for measurements.
    fn double(&self) -> &dyn Target<f64>;
}

impl<E: Target<f32> + Target<f64>> AnyTarget for E {
    fn single(&self) -> &dyn Target<f32> {
        self
    }
    fn double(&self) -> &dyn Target<f64> {
        self
    }
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A count or a seed.
    Integer(u64),
    /// A real number.
    Real(f64),
    /// The name of a file.
    Text(String),
}

/// A target's name and its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetConfig {
    /// One of [`names`].
    pub name: String,
    /// The parameters of that target; missing ones have their defaults.
    #[serde(flatten)]
    pub parameters: BTreeMap<String, Parameter>,
}

/// A registered target.
pub struct Entry {
    /// The name.
    pub name: &'static str,
    /// One line for lists and help texts.
    pub about: &'static str,
    /// Parameters: name, default, and the least and largest value.
    pub parameters: &'static [(&'static str, Parameter, [f64; 2])],
    /// Rough scales for networks and ladders, where they are known: the root mean square of a coordinate and the width
    /// of one mode.
    pub scales: fn(&TargetConfig) -> Option<[f64; 2]>,
    /// Builds the target; all parameters are present and within their ranges.
    pub build: fn(&TargetConfig) -> Result<Arc<dyn AnyTarget>, TargetError>,
    /// What is known of it.
    pub page: Page,
}

/// All entries.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    FILES.iter().copied().flatten()
}

/// All names.
pub fn names() -> Vec<&'static str> {
    entries().map(|e| e.name).collect()
}

impl TargetConfig {
    /// The target of that name with its default parameters.
    ///
    /// # Errors
    /// [`TargetError::Unknown`] if no target has this name.
    pub fn of(name: &str) -> Result<Self, TargetError> {
        let parameters =
            entry(name)?.parameters.iter().map(|(key, v, _)| (key.to_string(), v.clone())).collect();
        Ok(Self { name: name.into(), parameters })
    }

    /// Builds the target.
    ///
    /// # Errors
    /// If the name or a parameter is unknown, or a parameter is out of range.
    pub fn build(&self) -> Result<Arc<dyn AnyTarget>, TargetError> {
        let entry = entry(&self.name)?;
        let known = |key: &String| entry.parameters.iter().find(|(k, ..)| k == key);
        let mut whole = Self::of(&self.name)?;
        for (key, value) in &self.parameters {
            let Some((key, default, [low, high])) = known(key) else {
                return Err(self.unknown(key));
            };
            let of_file = |v: &Parameter| matches!(v, Parameter::Text(_));
            if of_file(default) != of_file(value) {
                let kind = if of_file(default) { "the name of a file" } else { "a number" };
                return Err(TargetError::Parameter(format!("target.{key} must be {kind}")));
            }
            let v = value.real();
            let kind = !matches!(default, Parameter::Integer(_)) || v.fract() == 0.0;
            let fits = (*low..=*high).contains(&v) && kind;
            if !fits && !of_file(value) {
                return Err(TargetError::Parameter(format!(
                    "target.{key} = {v} must lie between {low} and {high}"
                )));
            }
            whole.parameters.insert(key.to_string(), value.clone());
        }
        (entry.build)(&whole)
    }

    /// What is wrong with a parameter that this target does not have.
    pub fn unknown(&self, key: &str) -> TargetError {
        let own = entry(&self.name).map_or(&[][..], |e| e.parameters);
        let others: Vec<&str> =
            entries().filter(|e| e.parameters.iter().any(|(k, ..)| *k == key)).map(|e| e.name).collect();
        let hint =
            if others.is_empty() { String::new() } else { format!("; {key} is for {}", others.join(", ")) };
        TargetError::Parameter(format!(
            "target.{key}: {} has {}{hint}",
            self.name,
            listed(own.iter().map(|(k, ..)| *k))
        ))
    }

    /// Rough scales of the target, where they are known: the root mean square of a coordinate and the width of one
    /// mode.
    ///
    /// # Errors
    /// If the name is unknown.
    pub fn scales(&self) -> Result<Option<[f64; 2]>, TargetError> {
        Ok((entry(&self.name)?.scales)(self))
    }

    /// A parameter as a count.
    pub fn count(&self, key: &str) -> usize {
        self.real(key) as usize
    }

    /// A parameter as a seed.
    pub fn seed(&self, key: &str) -> u64 {
        match self.parameters.get(key) {
            Some(Parameter::Integer(v)) => *v,
            _ => self.real(key) as u64,
        }
    }

    /// A parameter as a text; empty if it is none.
    pub fn text(&self, key: &str) -> &str {
        match self.parameters.get(key) {
            Some(Parameter::Text(text)) => text,
            _ => "",
        }
    }

    /// A parameter as a real number; NaN if it is missing, which [`build`](Self::build) rules out.
    pub fn real(&self, key: &str) -> f64 {
        self.parameters.get(key).map_or(f64::NAN, Parameter::real)
    }
}

impl Parameter {
    /// `value` as the same kind of number.
    pub fn like(&self, value: f64) -> Self {
        match self {
            Self::Integer(_) if value >= 0.0 && value.fract() == 0.0 => Self::Integer(value as u64),
            _ => Self::Real(value),
        }
    }

    /// As a real number; NaN if it is a text.
    pub fn real(&self) -> f64 {
        match self {
            Self::Integer(v) => *v as f64,
            Self::Real(v) => *v,
            Self::Text(_) => f64::NAN,
        }
    }
}

fn listed<'a>(parameters: impl Iterator<Item = &'a str>) -> String {
    let all = parameters.collect::<Vec<_>>().join(", ");
    if all.is_empty() { "no parameters".into() } else { format!("the parameters {all}") }
}

fn entry(name: &str) -> Result<&'static Entry, TargetError> {
    entries().find(|e| e.name == name).ok_or_else(|| {
        let known = names();
        let hint = hint(name, &known);
        TargetError::Unknown(format!("unknown target `{name}`{hint} (targets: {})", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::rng::Stream;

    #[test]
    fn every_name_is_built_and_has_a_name_of_its_own() {
        for entry in entries() {
            let target = TargetConfig::of(entry.name).unwrap().build().unwrap();
            assert_eq!(target.single().geometry(), target.double().geometry());
            assert_eq!(entries().filter(|e| e.name == entry.name).count(), 1);
        }
    }

    #[test]
    fn no_points_are_no_error() {
        for entry in entries() {
            let target = TargetConfig::of(entry.name).unwrap().build().unwrap();
            assert_eq!(target.double().evaluate(&[], &mut [], &mut []), Ok(()), "{}", entry.name);
            assert_eq!(target.single().evaluate(&[], &mut [], &mut []), Ok(()), "{}", entry.name);
        }
    }

    /// -E and -grad E at one point.
    fn at(target: &dyn Target<f64>, x: &[f64]) -> (f64, Vec<f64>) {
        let (mut log_p, mut score) = ([0.0], vec![0.0; x.len()]);
        target.evaluate(x, &mut log_p, &mut score).unwrap();
        (log_p[0], score)
    }

    #[test]
    fn every_gradient_agrees_with_central_differences_and_with_single_precision() {
        for entry in entries() {
            let config = TargetConfig::of(entry.name).unwrap();
            let target = config.build().unwrap();
            let double = target.double();
            let d = double.dim();
            let scale = config.scales().unwrap().unwrap()[0];
            for seed in 0..20 {
                let mut stream = Stream::new(seed, "gradient", 0, 0);
                let (mut x, mut along) = (vec![0.0; d], vec![0.0; d]);
                double.geometry().fill_normal(&mut stream, &mut x);
                double.geometry().fill_normal(&mut stream, &mut along);
                x.iter_mut().for_each(|x| *x *= scale);
                let (energy, score) = at(double, &x);
                if energy.is_infinite() {
                    // Outside the support.
                    continue;
                }
                let h = 1e-6;
                let moved = |s: f64| x.iter().zip(&along).map(|(x, u)| x + s * u).collect::<Vec<_>>();
                let difference = (at(double, &moved(h)).0 - at(double, &moved(-h)).0) / (2.0 * h);
                let slope: f64 = score.iter().zip(&along).map(|(s, u)| s * u).sum();
                let size = score.iter().map(|s| s * s).sum::<f64>().sqrt() + energy.abs() + 1.0;
                assert!((slope - difference).abs() < 1e-6 * size, "{} {slope} {difference}", entry.name);
                let single: Vec<f32> = x.iter().map(|x| *x as f32).collect();
                let x: Vec<f64> = single.iter().map(|x| f64::from(*x)).collect();
                let (energy, score) = at(double, &x);
                let (mut log_p, mut score32) = ([0.0], vec![0.0; d]);
                target.single().evaluate(&single, &mut log_p, &mut score32).unwrap();
                assert!((f64::from(log_p[0]) - energy).abs() < 1e-4 * size, "{}", entry.name);
                let far = score32.iter().zip(&score).map(|(a, b)| (f64::from(*a) - b).abs());
                assert!(far.fold(0.0, f64::max) < 1e-3 * size, "{}", entry.name);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |config: TargetConfig| config.build().err().map_or(String::new(), |e| e.to_string());
        assert!(TargetConfig::of("gmm4").unwrap_err().to_string().contains("did you mean gmm40"));
        let mut config = TargetConfig::of("gmm-d").unwrap();
        config.parameters.insert("dim".into(), Parameter::Integer(0));
        assert_eq!(said(config.clone()), "target.dim = 0 must lie between 1 and 1000");
        config.name = "lj13".into();
        assert!(said(config).contains("target.dim: lj13 has the parameters temperature"));
    }
}
