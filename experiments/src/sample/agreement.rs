//! Whether runs with several seeds agree.

use models::audit::{Level, log_z_apart};
use models::evaluate::Figure;

use super::verdict::{LOG_Z, Sentence};

/// What the figures of several runs, with seeds from `first` on, say of each other: whether their log Z agree. Nothing of
/// a single run, or where none estimates log Z.
pub(super) fn agreement(first: u64, runs: &[Vec<Figure>]) -> Vec<Sentence> {
    let known = |name: &&&str| runs.iter().any(|figures| figures.iter().any(|f| f.name == **name));
    let Some(name) = LOG_Z.iter().find(known) else { return Vec::new() };
    let of = |figures: &Vec<Figure>| {
        let f = figures.iter().find(|f| f.name == *name && !f.lower_bound)?;
        f.sd.filter(|sd| sd.is_finite() && f.value.is_finite()).map(|sd| (f.value, sd))
    };
    let found: Vec<Option<(f64, f64)>> = runs.iter().map(of).collect();
    let trusted: Vec<(u64, (f64, f64))> =
        (first..).zip(&found).filter_map(|(seed, f)| f.map(|f| (seed, f))).collect();
    let mut said = Vec::new();
    let mut say = |level, text: String| said.push(Sentence { level, text, known: false });
    let pairs = trusted.iter().enumerate().flat_map(|(i, a)| trusted[..i].iter().map(move |b| (b, a)));
    let apart = pairs.filter_map(|((b, y), (a, z))| log_z_apart(*y, *z).map(|errors| (errors, *b, *a)));
    if let Some((errors, b, a)) = apart.max_by(|p, q| p.0.total_cmp(&q.0)) {
        say(
            Level::Bad,
            format!(
                "{name} of the seeds {b} and {a} differ by {errors:.1} of their errors: some run misses a part of the target, or its errors are too small. Next: train longer or take more samples, and look at modes.csv of both."
            ),
        );
    } else if trusted.len() > 1 {
        say(Level::Good, format!("{name} of {} seeds agree within their errors.", trusted.len()));
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
