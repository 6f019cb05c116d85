//! What was found, as a table and as curves.

use super::{Scaling, WORKERS};
use crate::plot::{Panel, Series};
use crate::table::plain;

/// Curves of one panel: there are nine colours.
const CURVES: usize = 8;
/// Ops that a line of [`chains`] names.
const CHAIN: usize = 5;

/// A line for each step: milliseconds and rounds on one thread, the most that could be gained, speed-ups, and the
/// efficiency at 32 workers.
pub fn table(found: &[Scaling]) -> String {
    let workers = WORKERS.iter().skip(1).map(|w| w.to_string());
    let names = ["step", "ms", "rounds", "most", "measured 2"].map(String::from);
    let header: Vec<String> = names.into_iter().chain(workers).chain(["at 32".into()]).collect();
    let row = |s: &Scaling| {
        let measured = s.measured.map_or(String::new(), |m| format!("{m:.2}"));
        let begin =
            [s.work.clone(), format!("{:.2}", s.ms), s.rounds.to_string(), format!("{:.1}", s.parallelism)];
        let gains = s.speedup.iter().skip(1).map(|gain| format!("{gain:.1}"));
        let end = format!("{:.0} %", 100.0 * s.efficiency(32));
        begin.into_iter().chain([measured]).chain(gains).chain([end]).collect()
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    plain(&header, &found.iter().map(row).collect::<Vec<_>>())
}

/// A line for each step: what its longest chain of tasks consists of.
pub fn chains(found: &[Scaling]) -> String {
    let part = |(op, share): &(String, f64)| {
        let op = if op.is_empty() { "outside of ops" } else { op };
        format!("{op} {:.0} %", 100.0 * share)
    };
    let cells = |s: &Scaling| {
        let most: Vec<String> = s.chain.iter().take(CHAIN).map(part).collect();
        vec![s.work.clone(), most.join(", ")]
    };
    plain(&["step", "longest chain"], &found.iter().map(cells).collect::<Vec<_>>())
}

/// Efficiencies against the number of workers.
pub fn panels(found: &[Scaling]) -> Vec<Panel> {
    let curve = |s: &Scaling| {
        let points = WORKERS.iter().map(|w| (f64::from(*w as u32).log2(), s.efficiency(*w)));
        Series { name: s.work.clone(), points: points.collect(), floor: false }
    };
    let panel = |part: &[Scaling]| Panel {
        label: "speed-up over workers".into(),
        log: false,
        series: part.iter().map(curve).collect(),
    };
    found.chunks(CURVES).map(panel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Scaling {
        Scaling {
            work: "mlp".into(),
            ms: 2.5,
            rounds: 3,
            parallelism: 12.0,
            chain: vec![("linear".into(), 0.75), (String::new(), 0.25)],
            speedup: WORKERS.map(|w| w.min(8) as f64).to_vec(),
            measured: Some(1.9),
        }
    }

    #[test]
    fn a_line_has_speedups_and_the_efficiency_at_32() {
        let text = table(&[found()]);
        let last = text.lines().last().unwrap();
        let cells: Vec<&str> = last.split_whitespace().collect();
        let want =
            ["mlp", "2.50", "3", "12.0", "1.90", "2.0", "4.0", "8.0", "8.0", "8.0", "8.0", "8.0", "25", "%"];
        assert_eq!(cells, want);
    }

    #[test]
    fn a_chain_is_told_by_shares() {
        let text = chains(&[found()]);
        assert!(text.ends_with("linear 75 %, outside of ops 25 %\n"), "{text}");
    }

    #[test]
    fn efficiencies_are_drawn_with_few_curves_in_a_panel() {
        let panels = panels(&vec![found(); 11]);
        assert_eq!(panels.iter().map(|p| p.series.len()).collect::<Vec<_>>(), [8, 3]);
        assert_eq!(
            panels[0].series[0].points[..5],
            [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 0.5)]
        );
    }
}
