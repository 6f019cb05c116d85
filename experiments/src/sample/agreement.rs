//! Whether runs with several seeds agree.

use models::audit::Level;
use models::evaluate::Figure;

use super::verdict::Sentence;

/// Estimates of log Z by what they know, the best first.
const ESTIMATES: [&str; 3] = ["smc_log_z", "trajectory_log_z", "log_z"];
/// Combined standard errors that two of them may lie apart, and a difference that never matters: those of two routes of
/// one run.
const APART: f64 = 5.0;
const SMALL: f64 = 0.05;

/// What the figures of several runs, with seeds from `first` on, say of each other: whether their log Z agree. Nothing of
/// a single run, or where none estimates log Z.
pub(super) fn agreement(first: u64, runs: &[Vec<Figure>]) -> Vec<Sentence> {
    let of = |name: &str| -> Vec<Option<(f64, f64)>> {
        let one = |figures: &Vec<Figure>| {
            let f = figures.iter().find(|f| f.name == name && !f.lower_bound)?;
            f.sd.filter(|sd| sd.is_finite() && f.value.is_finite()).map(|sd| (f.value, sd))
        };
        runs.iter().map(one).collect()
    };
    let known = |name: &str| runs.iter().any(|figures| figures.iter().any(|f| f.name == name));
    let Some(name) = ESTIMATES.into_iter().find(|name| known(name)) else { return Vec::new() };
    let found = of(name);
    let trusted: Vec<(u64, f64, f64)> =
        (first..).zip(&found).filter_map(|(seed, f)| f.map(|(value, sd)| (seed, value, sd))).collect();
    let mut said = Vec::new();
    let mut say = |level, text: String| said.push(Sentence { level, text, known: false });
    let pairs = trusted.iter().enumerate().flat_map(|(i, a)| trusted[..i].iter().map(move |b| (a, b)));
    let apart = pairs.map(|(a, b)| {
        let errors = (a.1 - b.1).abs() / a.2.hypot(b.2);
        (if (a.1 - b.1).abs() > SMALL { errors } else { errors.min(APART) }, a.0, b.0)
    });
    match apart.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((errors, a, b)) if errors > APART => say(
            Level::Bad,
            format!(
                "{name} of the seeds {b} and {a} differ by {errors:.1} of their errors: some run misses a part of the target, or its errors are too small. Next: train longer or take more samples, and look at modes.csv of both."
            ),
        ),
        Some((errors, ..)) => say(
            Level::Good,
            format!("{name} of {} seeds agree within {errors:.1} of their errors.", trusted.len()),
        ),
        None => {}
    }
    let without = found.len() - trusted.len();
    if without > 0 && runs.len() > 1 {
        say(
            Level::Doubtful,
            format!("{name} of {without} of {} seeds has no error that could be trusted.", found.len()),
        );
    }
    said.sort_by_key(|s| std::cmp::Reverse(s.level));
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &'static str, value: f64, sd: Option<f64>) -> Vec<Figure> {
        vec![Figure { sd, lower_bound: sd.is_none(), ..Figure::plain(name, value) }]
    }

    fn levels(runs: &[Vec<Figure>]) -> Vec<Level> {
        agreement(3, runs).iter().map(|s| s.level).collect()
    }

    #[test]
    fn seeds_that_differ_are_named() {
        let of = |values: [f64; 3]| values.map(|v| run("log_z", v, Some(0.1)));
        assert_eq!(levels(&of([1.0, 1.2, 0.9])), [Level::Good]);
        let said = agreement(3, &of([1.0, 1.1, 2.0]));
        assert_eq!((said.len(), said[0].level), (1, Level::Bad));
        assert!(said[0].text.starts_with("log_z of the seeds 3 and 5 differ by 7.1 of"), "{}", said[0].text);
        // Tiny errors are no reason for an alarm about a hundredth.
        assert_eq!(levels(&[run("log_z", 1.0, Some(1e-4)), run("log_z", 1.04, Some(1e-4))]), [Level::Good]);
    }

    #[test]
    fn lower_bounds_are_no_estimates_and_one_run_agrees_with_nobody() {
        let name = "trajectory_log_z";
        let runs = [run(name, 1.0, Some(0.1)), run(name, -9.0, None), run(name, 1.1, Some(0.1))];
        assert_eq!(levels(&runs), [Level::Doubtful, Level::Good]);
        assert_eq!(levels(&[run(name, 1.0, None), run(name, 1.0, None)]), [Level::Doubtful]);
        assert!(levels(&[run(name, 1.0, Some(0.1))]).is_empty());
        assert!(levels(&[run("e_w2", 1.0, Some(0.1)), run("e_w2", 2.0, Some(0.1))]).is_empty());
        // That of populations stands before that of paths.
        let both =
            |smc: f64, paths: f64| [run("smc_log_z", smc, Some(0.1)), run(name, paths, Some(0.1))].concat();
        assert_eq!(levels(&[both(1.0, 0.0), both(1.0, 9.0)]), [Level::Good]);
    }
}
