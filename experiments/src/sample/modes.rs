//! The modes of a run's samples: modes.csv, and what metrics.json and the report have of them.

use models::evaluate::Figure;
use models::evaluate::modes::{ModesFound, Search, find};
use serde_json::{Value, json};

use super::measure::Measurement;
use crate::table::shortest;

/// Modes in metrics.json, at most: the heaviest. modes.csv has all.
const LISTED: usize = 100;

/// What came of the search.
pub(super) enum Modes {
    /// It was not asked for.
    Off,
    /// It could not be done; the text says why.
    Skipped(String),
    /// Done.
    Found(ModesFound),
}

impl Measurement<'_> {
    /// Looks for modes. A target that cannot be evaluated on the way, far from all samples, costs the modes and not the
    /// run.
    pub(super) fn modes(&self, samples: &[f64], log_w: &[f64], chains: Option<usize>) -> Modes {
        let descents = self.config.evaluation.modes;
        if descents == 0 {
            return Modes::Off;
        }
        let search = Search { samples, log_w, chains, descents, seed: self.key() };
        match find(self.target.double(), &search) {
            Ok(found) => Modes::Found(found),
            Err(e) => Modes::Skipped(e.to_string()),
        }
    }
}

impl Modes {
    /// Figures of the table.
    pub fn figures(&self) -> Vec<Figure> {
        let Self::Found(found) = self else { return Vec::new() };
        vec![
            Figure::plain("basins", found.modes.len() as f64),
            Figure::plain("modes_evaluations", found.evaluations as f64),
        ]
    }

    /// The entry `modes` of metrics.json.
    pub fn json(&self) -> Value {
        let found = match self {
            Self::Off => return json!({ "skipped": "evaluation.modes = 0" }),
            Self::Skipped(why) => return json!({ "skipped": why }),
            Self::Found(found) => found,
        };
        let list: Vec<Value> = (found.modes.iter().take(LISTED))
            .map(|m| {
                json!({
                    "weight": m.share.weight,
                    "weight_se": m.share.weight_error,
                    "share_of_samples": m.raw,
                    "samples": m.samples,
                    "energy": m.energy,
                    "free_energy": m.share.free_energy,
                    "free_energy_se": m.share.free_energy_error,
                    "centre": m.centre,
                    "widths": m.widths,
                })
            })
            .collect();
        json!({
            "found": found.modes.len(),
            "descents": found.descents,
            "unfinished_descents": found.unfinished,
            "effective_samples": found.effective,
            "unseen": found.unseen,
            "listed": list.len(),
            "list": list,
        })
    }

    /// modes.csv: a line for each mode, the heaviest first.
    pub fn csv(&self) -> Option<String> {
        let Self::Found(found) = self else { return None };
        let d = found.modes.first().map_or(0, |m| m.centre.len());
        let wide = found.modes.first().map_or(0, |m| m.widths.len());
        let mut header =
            String::from("mode,weight,weight_se,share_of_samples,samples,energy,free_energy,free_energy_se");
        header.extend((0..d).map(|a| format!(",x{a}")));
        header.extend((0..wide).map(|a| format!(",sd{a}")));
        let row = |(k, m): (usize, &models::evaluate::modes::Mode)| {
            let s = &m.share;
            let numbers = [s.weight, s.weight_error, m.raw, m.samples as f64, m.energy, s.free_energy];
            let numbers = numbers.iter().chain([&s.free_energy_error]).chain(&m.centre).chain(&m.widths);
            let cell = |v: &f64| if v.is_nan() { "nan".into() } else { shortest(*v) };
            format!("{k},{}\n", numbers.map(cell).collect::<Vec<_>>().join(","))
        };
        Some(header + "\n" + &found.modes.iter().enumerate().map(row).collect::<String>())
    }
}
