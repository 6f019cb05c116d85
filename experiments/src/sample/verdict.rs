//! What may be believed of a run, in sentences.

use models::audit::{Finding, Level};
use models::evaluate::Figure;

use super::judge::Judgement;
use super::modes::Modes;
use crate::table::figure;

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// What it means.
    pub level: Level,
    /// In words, with the numbers and with what to do.
    pub text: String,
    /// Whether it rests on what nobody knows of an own density: exact samples, or log Z.
    pub known: bool,
}

/// What a verdict rests on.
pub struct Metrics<'a> {
    /// All figures.
    pub figures: &'a [Figure],
    /// The checks that failed, and a remedy behind them.
    pub failures: &'a [String],
    /// Steps done and wanted.
    pub steps: (u64, u64),
    /// The modes of the samples.
    pub(super) modes: &'a Modes,
    /// What the samples, their weights and independent explorations say.
    pub(super) judgement: &'a Judgement,
    /// Whether distances are those from exact samples.
    pub exact: bool,
}

impl Metrics<'_> {
    fn of(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|f| f.name == name)
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.of(name).map(|f| f.value).filter(|v| !v.is_nan())
    }
}

/// Effective samples below this give no average worth the name.
const FEW: f64 = 100.0;
/// The share of samples that are alone in their modes, above which modes are missing.
const UNSEEN: f64 = 0.02;
/// A distance of this many floors is one that can be seen.
const FLOORS: f64 = 2.0;
/// Standard errors of log Z that a known value may lie away.
const ERRORS: f64 = 3.0;

/// Estimates of log Z by what they know, the best first: populations, paths, the method's own.
pub(super) const LOG_Z: [&str; 3] = ["smc_log_z", "trajectory_log_z", "log_z"];

/// The findings, the worst first.
pub fn verdict(m: &Metrics<'_>) -> Vec<Sentence> {
    let mut said: Vec<Sentence> = m.judgement.verdict.findings.iter().map(sentence).collect();
    if let (Some(failed), Some(remedy)) =
        (said.iter_mut().find(|s| s.text.starts_with(FAILED)), m.failures.last())
    {
        failed.text = format!("{} To do: {remedy}.", failed.text);
    }
    let mut say = |level, text: String| said.push(Sentence { level, text, known: false });
    if let Some(why) = &m.judgement.trouble {
        say(Level::Doubtful, format!("The target could not be explored for the verdict: {why}"));
    }
    if m.judgement.unchecked {
        say(Level::Good, "The gradient was not checked: check_gradient = false.".into());
    }
    if m.steps.0 < m.steps.1 {
        let (done, total) = m.steps;
        say(
            Level::Doubtful,
            format!("The training is at step {done} of {total}: these are figures on the way."),
        );
    }
    if m.failures.is_empty()
        && let Some(r_hat) = m.value("energy_r_hat")
    {
        say(
            Level::Good,
            format!("The chains agree: R-hat of the energy is {r_hat:.4}, and no check failed."),
        );
    }
    if let Some(failed) = m.value("reference_failed_checks").filter(|n| *n > 0.0) {
        say(
            Level::Doubtful,
            format!(
                "The reference itself failed {failed} checks: distances from it say little. Make a longer one."
            ),
        );
    }
    if let Some(outside) = m.value("outside").filter(|v| *v > 0.0) {
        say(Level::Doubtful, format!("{} of the raw samples lie outside the support.", percent(outside)));
    }
    modes(m, &mut say);
    let mut say = |level, text: String| said.push(Sentence { level, text, known: m.exact });
    distances(m, &mut say);
    let mut say = |level, text: String| said.push(Sentence { level, text, known: true });
    log_z(m, &mut say);
    said.sort_by_key(|s| std::cmp::Reverse(s.level));
    said
}

/// By the estimate that knows most: populations, paths, the flow, or the method's own. A lower bound alone is said by
/// the weights.
fn log_z(m: &Metrics<'_>, say: &mut impl FnMut(Level, String)) {
    let found = LOG_Z.iter().filter_map(|name| m.of(name));
    let Some(f) = found.into_iter().find(|f| !f.lower_bound && f.sd.is_some_and(f64::is_finite)) else {
        return;
    };
    let sd = f.sd.unwrap_or(f64::NAN);
    let text = format!("log Z = {} {}", figure(f.value, f.sd).replace("+-", "±"), origin(f.name));
    let Some(known) = f.floor else {
        return say(Level::Good, format!("{text}; its error is that of the modes that were found."));
    };
    let off = ((f.value - known) / sd.hypot(f.floor_se.unwrap_or(0.0))).abs();
    let shown = figure(known, f.sd);
    let shown = shown.split(" +- ").next().unwrap_or_default();
    if off > ERRORS {
        say(
            Level::Bad,
            format!(
                "{text} is {off:.1} of its standard errors away from the known {shown}: the error is too small, or mass is missing."
            ),
        );
    } else {
        say(Level::Good, format!("{text}; known: {shown}."));
    }
}

/// What an estimate of log Z comes from.
fn origin(name: &str) -> &'static str {
    match name {
        "smc_log_z" => "(by populations along the paths)",
        "trajectory_log_z" => "(by the weights of sampled paths)",
        _ => "(log_z)",
    }
}

fn distances(m: &Metrics<'_>, say: &mut impl FnMut(Level, String)) {
    let names = [
        ("x_w2", "positions (X-W2)"),
        ("eq_w2", "positions up to symmetries (eq-W2)"),
        ("e_w2", "energies (E-W2)"),
        ("d_tv", "pair distances (D-TV)"),
        ("mode_kl", "weights of modes (KL)"),
    ];
    let ratio = |name: &str| {
        let f = m.of(name)?;
        f.floor.filter(|floor| *floor > 0.0).map(|floor| f.value / floor)
    };
    let known: Vec<(&str, f64)> =
        names.iter().filter_map(|(name, what)| Some((*what, ratio(name)?))).collect();
    let off: Vec<String> = (known.iter().filter(|(_, r)| *r > FLOORS))
        .map(
            |(what, r)| {
                if *r < 10.0 { format!("{what} {r:.1} times") } else { format!("{what} {r:.0} times") }
            },
        )
        .collect();
    match (known.is_empty(), off.is_empty()) {
        (true, _) => {}
        (false, true) => say(
            Level::Good,
            format!(
                "As near to the reference as exact samples are, within a factor of {FLOORS}: {}.",
                known.iter().map(|(what, _)| *what).collect::<Vec<_>>().join(", ")
            ),
        ),
        (false, false) => say(
            Level::Doubtful,
            format!(
                "Farther from the reference than exact samples are: {}. These are the raw samples.",
                off.join(", ")
            ),
        ),
    }
}

fn modes(m: &Metrics<'_>, say: &mut impl FnMut(Level, String)) {
    let found = match m.modes {
        Modes::Off => return,
        Modes::Skipped(why) => return say(Level::Doubtful, format!("Modes were not looked for: {why}")),
        Modes::Found(found) => found,
    };
    let (n, count) = (found.descents, found.modes.len());
    let of = if count == 1 { "mode".to_string() } else { "modes".into() };
    if found.unfinished * 10 > n {
        say(
            Level::Doubtful,
            format!("{} of {n} descents came to no minimum: modes may be too many.", found.unfinished),
        );
    }
    if found.unseen > UNSEEN {
        say(
            Level::Doubtful,
            format!(
                "{count} {of} in {n} samples, and {} of the samples are alone in theirs: about so much of what the sampler draws lies in modes that are not listed. Raise evaluation.modes.",
                percent(found.unseen)
            ),
        );
    } else if found.effective < FEW {
        say(
            Level::Doubtful,
            format!(
                "{count} {of}, but the weights of the {n} samples behind them are worth {:.0}.",
                found.effective
            ),
        );
    } else {
        say(
            Level::Good,
            format!(
                "{count} {of} in {n} samples. A mode with more than {} of what the sampler draws would have been seen in 95 of 100 runs; one where it never goes would not.",
                percent(3.0 / n.max(1) as f64)
            ),
        );
    }
}

/// How a failed check begins.
const FAILED: &str = "A check of the method failed";

/// A finding as a sentence.
fn sentence(f: &Finding) -> Sentence {
    let mut what = f.what.clone();
    if let Some(first) = what.get(..1).map(str::to_uppercase) {
        what.replace_range(..1, &first);
    }
    let next = if f.next.is_empty() { String::new() } else { format!(" Next: {}.", f.next) };
    Sentence { level: f.level, text: format!("{what}.{next}"), known: false }
}

/// The gravest level of some sentences.
pub fn gravest<'a>(said: impl Iterator<Item = &'a Sentence>) -> Level {
    said.map(|s| s.level).max().unwrap_or(Level::Good)
}

fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if value >= 10.0 { format!("{value:.0} %") } else { format!("{value:.2} %") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::audit::{Evidence, Verdict};

    fn said(figures: &[Figure], failures: &[String], steps: (u64, u64)) -> Vec<(Level, String)> {
        let checks = failures.split_last().map_or(Vec::new(), |(_, checks)| checks.to_vec());
        let evidence = Evidence { failures: checks, elsewhere: true, ..Evidence::default() };
        let judgement =
            Judgement { verdict: Verdict::of(&evidence), evaluations: 0, trouble: None, unchecked: false };
        let (modes, judgement) = (&Modes::Off, &judgement);
        let metrics = Metrics { figures, failures, steps, modes, judgement, exact: true };
        verdict(&metrics).into_iter().map(|s| (s.level, s.text)).collect()
    }

    #[test]
    fn the_worst_comes_first_and_failed_checks_have_their_remedy() {
        let figures = [
            Figure { sd: Some(0.1), floor: Some(1.0), ..Figure::plain("log_z", 1.05) },
            Figure::plain("outside", 0.25),
        ];
        let failures = ["R-hat is 1.2".to_string(), "run longer".into()];
        let said = said(&figures, &failures, (5, 10));
        let levels: Vec<Level> = said.iter().map(|s| s.0).collect();
        assert_eq!(levels, [Level::Bad, Level::Doubtful, Level::Doubtful, Level::Good]);
        assert_eq!(said[0].1, "A check of the method failed: R-hat is 1.2. To do: run longer.");
        assert!(said[1].1.contains("at step 5 of 10") && said[2].1.starts_with("25 % of the raw samples"));
        assert_eq!(said[3].1, "log Z = 1.05 ± 0.10 (log_z); known: 1.00.");
    }

    #[test]
    fn a_known_log_z_and_distances_are_no_part_of_a_blind_verdict() {
        let figures = [
            Figure { sd: Some(0.1), floor: Some(8.0), ..Figure::plain("log_z", 7.0) },
            Figure { floor: Some(1.0), ..Figure::plain("e_w2", 5.0) },
        ];
        let evidence = Evidence { elsewhere: true, ..Evidence::default() };
        let judgement =
            Judgement { verdict: Verdict::of(&evidence), evaluations: 0, trouble: None, unchecked: false };
        let (modes, judgement) = (&Modes::Off, &judgement);
        let metrics =
            Metrics { figures: &figures, failures: &[], steps: (1, 1), modes, judgement, exact: true };
        let said = verdict(&metrics);
        assert!(said[0].level == Level::Bad && said[0].text.contains("10.0 of its standard errors"));
        assert_eq!(
            (gravest(said.iter()), gravest(said.iter().filter(|s| !s.known))),
            (Level::Bad, Level::Good)
        );
    }

    #[test]
    fn distances_are_told_in_floors() {
        let f = |name, value| Figure { floor: Some(1.0), ..Figure::plain(name, value) };
        let near = said(&[f("x_w2", 1.1), f("e_w2", 0.9)], &[], (1, 1));
        assert!(near[0].0 == Level::Good && near[0].1.contains("X-W2"), "{near:?}");
        let far = said(&[f("x_w2", 1.1), f("e_w2", 5.0)], &[], (1, 1));
        assert!(far[0].0 == Level::Doubtful && far[0].1.contains("energies (E-W2) 5.0 times"), "{far:?}");
        assert_eq!(said(&[], &[], (1, 1)), []);
    }
}
