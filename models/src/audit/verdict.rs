//! A verdict in words: which figures of a run may be trusted, which not and why, and what to try next.

use std::fmt;

use serde::Serialize;

use super::compare::{Comparison, Pair};
use crate::importance::{K_HAT, LogZ};

/// Samples that weights must be worth, at least, for means to have an error that means anything.
const FEWEST: f64 = 50.0;
/// Standard errors by which two estimates may differ. Errors come from three explorations or from weights, and dozens of
/// figures are compared.
const DIFFERENCE: f64 = 5.0;
/// The least difference of shares that counts.
const SHARE: f64 = 0.01;
/// The least difference of mean energies that counts, in units of k_B T: a flat energy has rounding alone.
const ENERGY: f64 = 0.01;
/// The least difference of log Z that counts.
const LOG_Z: f64 = 0.05;
/// The largest share of states without any near them.
const UNSEEN: f64 = 0.01;
/// Tail shape from which on second moments are not finite.
const HEAVY: f64 = 0.5;

/// How far a figure may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It may be.
    Good,
    /// It wants a look: something is missing to say that it is right, or part of it is known to be worse than the rest.
    Doubtful,
    /// It may not be.
    Bad,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How far it may be trusted.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to try next; empty where nothing is to be done.
    pub next: String,
}

/// All that was found, the gravest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// The gravest level.
    pub level: Level,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// What is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Samples.
    pub samples: usize,
    /// The effective share of their weights, and k-hat; None where they have no weights.
    pub weights: Option<(f64, f64)>,
    /// Estimates of log Z by different routes, with their names.
    pub log_z: Vec<(&'static str, LogZ)>,
    /// The method's own checks that failed.
    pub failures: Vec<String>,
    /// The share of samples outside the support.
    pub outside: f64,
    /// The tail shape of the samples' distances from their mean.
    pub tail: f64,
    /// What is wrong with the gradient at samples, if anything.
    pub gradient: Option<String>,
    /// What explorations say; None if nobody explored.
    pub audit: Option<Audit>,
    /// Whether the samples are held against an independent reference in another way.
    pub elsewhere: bool,
}

/// What explorations say.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The samples beside them.
    pub comparison: Comparison,
    /// Their log Z with its error.
    pub log_z: Option<(f64, f64)>,
    /// Whether they passed their own checks.
    pub may_judge: bool,
}

impl Verdict {
    /// What the evidence says.
    pub fn of(e: &Evidence) -> Self {
        let mut out = Vec::new();
        let mut say = |level, what: String, next: &str| out.push(Finding { level, what, next: next.into() });
        if let Some(why) = &e.gradient {
            say(
                Level::Bad,
                format!("the gradient is not that of the energy: {why}"),
                "mend the energy's gradient",
            );
        }
        for failure in &e.failures {
            say(Level::Bad, format!("a check of the method failed: {failure}"), "");
        }
        weights(e, &mut say);
        routes(e, &mut say);
        if e.outside > 0.0 {
            say(
                Level::Doubtful,
                format!(
                    "{:.2} % of the samples lie outside the support; weights take them away",
                    100.0 * e.outside
                ),
                "use the weighted samples",
            );
        }
        // NaN says nothing.
        if e.tail > HEAVY {
            say(
                Level::Doubtful,
                format!(
                    "the samples' tails are heavy (shape {:.2}): variances may not be finite, and what starts from Gaussians sees too little of the tails",
                    e.tail
                ),
                "look at quantiles in place of means, or take other coordinates, in which tails are light",
            );
        }
        match &e.audit {
            None if e.elsewhere => {}
            None => say(
                Level::Doubtful,
                "nobody looked whether modes are missing: there was no independent exploration".into(),
                "set evaluation.audit, the states of each exploration, or compare with a second method and seed",
            ),
            Some(audit) => explored(e, audit, &mut say),
        }
        out.sort_by_key(|f| std::cmp::Reverse(f.level));
        Self { level: out.iter().map(|f| f.level).max().unwrap_or(Level::Good), findings: out }
    }

    /// One paragraph for a terminal.
    pub fn text(&self) -> String {
        let head = match self.level {
            Level::Good => "verdict: good. The figures may be trusted within their errors.",
            Level::Doubtful => {
                "verdict: doubtful. Nothing was found wrong, and something is missing to trust all figures."
            }
            Level::Bad => {
                "verdict: bad. Some figures are wrong, or there is no way to tell that they are right."
            }
        };
        let mut text = format!("{head}\n");
        for f in self.findings.iter() {
            let next = if f.next.is_empty() { String::new() } else { format!("; next: {}", f.next) };
            text += &format!("  {}: {}{next}\n", f.level, f.what);
        }
        text
    }
}

type Say<'a> = &'a mut dyn FnMut(Level, String, &str);

/// What weights are worth.
fn weights(e: &Evidence, say: Say<'_>) {
    let Some((share, k_hat)) = e.weights else { return };
    let worth = share * e.samples as f64;
    // What is no number is not below.
    let light = k_hat < K_HAT;
    if light && worth >= FEWEST {
        say(
            Level::Good,
            format!(
                "{} weighted samples are worth {worth:.0} independent ones (effective share {share:.3}), k-hat {k_hat:.2}",
                e.samples
            ),
            "",
        );
    } else {
        let why = if light {
            format!("{} weighted samples are worth {worth:.0} independent ones only", e.samples)
        } else {
            format!(
                "the weights have a heavy tail (k-hat {k_hat:.2}): weighted means and log Z have no error that could be trusted"
            )
        };
        say(Level::Bad, why, "train longer, or take more reverse steps (evaluation.reverse_steps)");
    }
}

/// How many of their combined standard errors two estimates of log Z, each with its error, lie apart, where that is too
/// much: more than five of them, and more than 0.05.
pub fn log_z_apart(a: (f64, f64), b: (f64, f64)) -> Option<f64> {
    let (difference, error) = ((a.0 - b.0).abs(), a.1.hypot(b.1));
    (difference > (DIFFERENCE * error).max(LOG_Z)).then(|| difference / error)
}

/// Whether the routes to log Z agree.
fn routes(e: &Evidence, say: Say<'_>) {
    let trusted: Vec<(&str, LogZ)> =
        e.log_z.iter().filter(|(_, z)| z.error().is_some()).map(|(name, z)| (*name, *z)).collect();
    for (k, (name, z)) in trusted.iter().enumerate() {
        for (other, y) in &trusted[k + 1..] {
            if log_z_apart((z.value, z.standard_error), (y.value, y.standard_error)).is_some() {
                say(
                    Level::Bad,
                    format!("log Z by {name} is {z}, by {other} {y}: one of them is wrong"),
                    "train longer; where both have few effective samples, take more of them",
                );
            }
        }
    }
    if e.log_z.iter().any(|(_, z)| z.error().is_none()) && trusted.is_empty() {
        say(
            Level::Doubtful,
            "log Z is a lower bound alone".into(),
            "train longer, or take more reverse steps",
        );
    }
}

/// What explorations say.
fn explored(e: &Evidence, audit: &Audit, say: Say<'_>) {
    if !audit.may_judge {
        say(
            Level::Doubtful,
            "independent explorations failed their own checks, and cannot say whether modes are missing"
                .into(),
            "raise evaluation.audit, the states of each",
        );
    }
    let mut agree = true;
    let c = &audit.comparison;
    let [missed, new] = c.unseen.unwrap_or_default();
    if c.unseen.is_none() {
        agree = false;
        say(
            Level::Doubtful,
            "there are too few samples or explored states to tell whether mass is missing".into(),
            "draw more samples, and raise evaluation.audit",
        );
    }
    // What is no number agrees with nothing.
    if !(c.energy.z().is_finite() && c.regions.iter().all(|pair| pair.z().is_finite())) {
        agree = false;
        say(
            Level::Doubtful,
            "a mean of the samples or of the explorations is no number".into(),
            "look at the samples' energies",
        );
    }
    // Explorations in doubt can still find what samples miss: a state of low energy is one, whoever found it.
    if missed > UNSEEN {
        agree = false;
        say(
            Level::Bad,
            format!(
                "{:.1} % of independently explored states lie where there are no samples: mass is missing",
                100.0 * missed
            ),
            "explore more (replay.explore = smc or pt, or --method pt), or start wider (network.sigma_max, sampler.scale)",
        );
    }
    if new > UNSEEN {
        agree = false;
        say(
            Level::Doubtful,
            format!("{:.1} % of the samples lie where explorations found nothing", 100.0 * new),
            "raise evaluation.audit; if it stays, look at these samples' energies",
        );
    }
    let at_odds = if audit.may_judge { Level::Bad } else { Level::Doubtful };
    let differs = |pair: &Pair, least: f64| {
        pair.z().abs() > DIFFERENCE && (pair.samples.0 - pair.explored.0).abs() > least
    };
    let shown = |pair: &Pair| {
        let ((a, b), (c, d)) = (pair.samples, pair.explored);
        format!("{a:.3} +- {b:.3} in the samples, {c:.3} +- {d:.3} in explorations")
    };
    if let Some(worst) = c.worst().filter(|pair| differs(pair, SHARE)) {
        agree = false;
        say(
            at_odds,
            format!("shares of regions differ, most: {}", shown(&worst)),
            "use the weighted or corrected samples; if they differ too, train longer or explore more",
        );
    }
    if differs(&c.energy, ENERGY) {
        agree = false;
        say(
            at_odds,
            format!("mean energies differ: {}", shown(&c.energy)),
            "use the weighted or corrected samples; if they differ too, take more reverse steps or train longer",
        );
    }
    if let Some((z, error)) = audit.log_z {
        for (name, own) in &e.log_z {
            let Some(own_error) = own.error() else { continue };
            if (own.value - z).abs() > (DIFFERENCE * error.hypot(own_error)).max(LOG_Z) {
                agree = false;
                say(
                    at_odds,
                    format!("log Z by {name} is {own}, by explorations {z:.3} +- {error:.3}"),
                    "explore more, or train longer",
                );
            }
        }
    }
    if agree && audit.may_judge {
        let say_worst = c.worst().map_or(0.0, |pair| pair.z().abs());
        say(
            Level::Good,
            format!(
                "independent explorations agree: shares of regions within {say_worst:.1} standard errors, mean energies within {:.1}; a mode of less than {:.1} % of the mass could be missing unseen",
                c.energy.z().abs(),
                100.0 * c.least
            ),
            "",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreeing() -> Evidence {
        let pair = Pair { samples: (0.5, 0.01), explored: (0.51, 0.01) };
        let comparison =
            Comparison { regions: vec![pair; 3], energy: pair, unseen: Some([0.0; 2]), least: 0.02 };
        Evidence {
            samples: 1000,
            weights: Some((0.5, 0.2)),
            log_z: vec![("paths", LogZ { value: 1.0, standard_error: 0.01, k_hat: 0.2 })],
            audit: Some(Audit { comparison, log_z: Some((1.02, 0.01)), may_judge: true }),
            ..Evidence::default()
        }
    }

    #[test]
    fn a_flat_energy_differs_by_rounding_alone() {
        let mut evidence = agreeing();
        audit(&mut evidence).comparison.energy =
            Pair { samples: (3.7, 1e-17), explored: (3.7 + 1e-15, 1e-17) };
        assert_eq!(Verdict::of(&evidence).level, Level::Good);
    }

    #[test]
    fn what_agrees_is_good_and_says_why() {
        let verdict = Verdict::of(&agreeing());
        assert_eq!(verdict.level, Level::Good, "{verdict:?}");
        assert_eq!(verdict.findings.len(), 2);
        assert!(verdict.text().starts_with("verdict: good.") && verdict.text().contains("worth 500"));
    }

    #[test]
    fn each_fault_is_found_and_comes_first() {
        type Spoil = fn(&mut Evidence);
        let faults: [(Level, &str, Spoil); 13] = [
            (Level::Bad, "gradient", |e| e.gradient = Some("at 0".into())),
            (Level::Bad, "R-hat", |e| e.failures = vec!["R-hat of the energy is 1.2".into()]),
            (Level::Bad, "k-hat 0.90", |e| e.weights = Some((0.5, 0.9))),
            (Level::Bad, "worth 10", |e| e.weights = Some((0.01, 0.2))),
            (Level::Bad, "one of them is wrong", |e| {
                e.log_z.push(("the flow", LogZ { value: 1.2, standard_error: 0.01, k_hat: 0.1 }));
            }),
            (Level::Bad, "mass is missing", |e| audit(e).comparison.unseen = Some([0.1, 0.0])),
            (Level::Doubtful, "found nothing", |e| audit(e).comparison.unseen = Some([0.0, 0.1])),
            (Level::Bad, "mean energies differ", |e| audit(e).comparison.energy.samples.0 = 0.7),
            (Level::Bad, "by explorations 1.300", |e| audit(e).log_z = Some((1.3, 0.01))),
            (Level::Doubtful, "too few samples", |e| audit(e).comparison.unseen = None),
            (Level::Doubtful, "no number", |e| audit(e).comparison.energy.samples.0 = f64::NAN),
            (Level::Doubtful, "cannot say", |e| audit(e).may_judge = false),
            (Level::Doubtful, "nobody looked", |e| e.audit = None),
        ];
        for (level, says, spoil) in faults {
            let mut evidence = agreeing();
            spoil(&mut evidence);
            let verdict = Verdict::of(&evidence);
            assert_eq!(verdict.level, level, "{says}: {verdict:?}");
            assert!(verdict.findings[0].what.contains(says), "{says}: {verdict:?}");
        }
    }

    fn audit(e: &mut Evidence) -> &mut Audit {
        e.audit.as_mut().unwrap()
    }
}
