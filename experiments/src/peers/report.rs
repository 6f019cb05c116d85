//! JSON lines and the table of `speed --peers`.

use engine::simd;

use super::files::KINDS;
use super::peak::Peak;
use super::process::Peer;
use crate::table::{figure, plain};
use crate::workloads::cost::Cost;
use crate::workloads::levels::{least, median};

/// A workload, timed.
pub struct Row {
    /// Its name.
    pub work: &'static str,
    /// What a step needs.
    pub cost: Cost,
    /// Our milliseconds.
    pub ours: Vec<f64>,
    /// The peers, timed.
    pub peers: Vec<Peer>,
}

/// The machine's peak as a line.
pub fn peak_line(peak: Peak, threads: usize) -> String {
    let line = serde_json::json!({
        "work": "peak", "threads": threads, "level": simd::level().to_string(),
        "gflops": round(peak.flops / 1e9), "gbytes": round(peak.bytes / 1e9),
    });
    format!("{line}\n")
}

impl Row {
    /// A line for ours and for each peer.
    pub fn lines(&self, threads: usize, peak: Peak) -> String {
        let times = |framework: &str, ms: &[f64]| {
            serde_json::json!({
                "work": self.work, "framework": framework, "threads": threads,
                "median_ms": round(median(ms.to_vec())), "min_ms": round(least(ms)),
            })
        };
        let mut ours = times("metastable", &self.ours);
        let (limit, by) = peak.limit(self.cost);
        ours["gflop"] = round(self.cost.flops / 1e9).into();
        ours["mbytes"] = round(self.cost.bytes / 1e6).into();
        ours["limit_ms"] = round(limit).into();
        ours["limit_by"] = by.into();
        if let Some(best) = self.best(|_| true) {
            ours["best_peer"] = best.name.as_str().into();
            ours["ratio"] = round(median(best.ms.clone()) / median(self.ours.clone())).into();
        }
        let peers = self.peers.iter().map(|peer| {
            let mut line = times(&peer.name, &peer.ms);
            line["difference"] = peer.difference.into();
            line
        });
        std::iter::once(ours).chain(peers).map(|line| format!("{line}\n")).collect()
    }

    /// The peer with the least median among some.
    fn best(&self, among: impl Fn(&Peer) -> bool) -> Option<&Peer> {
        let timed = self.peers.iter().filter(|peer| among(peer) && !peer.ms.is_empty());
        timed.min_by(|a, b| median(a.ms.clone()).total_cmp(&median(b.ms.clone())))
    }
}

/// Median milliseconds of ours and of the best setting of each framework; the best peer's over ours; the least
/// milliseconds that this machine's peak allows, by operations or by bytes, and the share of the peak that is reached.
pub fn table(rows: &[Row], peak: Peak) -> String {
    let mut frameworks: Vec<&str> = KINDS.iter().map(|kind| kind.framework).collect();
    frameworks.dedup();
    frameworks.retain(|framework| rows.iter().any(|row| row.best(|p| p.framework == *framework).is_some()));
    let header: Vec<&str> = ["ms", "metastable"]
        .into_iter()
        .chain(frameworks.iter().copied())
        .chain(["best peer", "ratio", "Gflop", "MB", "limit", "by", "reached"])
        .collect();
    let line = |row: &Row| {
        let ours = median(row.ours.clone());
        let (limit, by) = peak.limit(row.cost);
        let of = |framework: &str| {
            row.best(|p| p.framework == framework)
                .map_or(String::new(), |p| figure(median(p.ms.clone()), None))
        };
        let best = row.best(|_| true);
        let ratio = best.map_or(String::new(), |p| figure(median(p.ms.clone()) / ours, None));
        let mut cells = vec![row.work.to_string(), figure(ours, None)];
        cells.extend(frameworks.iter().map(|framework| of(framework)));
        cells.extend([
            best.map_or(String::new(), |p| p.name.clone()),
            ratio,
            figure(row.cost.flops / 1e9, None),
            figure(row.cost.bytes / 1e6, None),
            figure(limit, None),
            by.into(),
            figure(limit / ours, None),
        ]);
        cells
    };
    plain(&header, &rows.iter().map(line).collect::<Vec<_>>())
}

fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
