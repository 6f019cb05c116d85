//! Figures as a file, as a table, and over several seeds.

use std::path::Path;

use models::evaluate::Figure;
use models::metrics::{mean, sd};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::run::error::CliError;
use crate::table::{figure, plain};

/// The file of a run's figures in their order, for those who read them again.
pub const FIGURES: &str = "figures.csv";

/// metrics.json: `head`, then each figure under its name, with `_sd`, `_floor`, `_floor_sd`, `_floor_se` where it has
/// them, and `_lower_bound: true` where it is one.
pub fn metrics_json(head: &[(&str, Value)], figures: &[Figure]) -> String {
    let mut map: Map<String, Value> = head.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    for f in figures {
        let mut put = |suffix: &str, v: Option<f64>| {
            if let Some(v) = v {
                map.insert(format!("{}{suffix}", f.name), json!(v));
            }
        };
        put("", Some(f.value));
        put("_sd", f.sd);
        put("_floor", f.floor);
        put("_floor_sd", f.floor_sd);
        put("_floor_se", f.floor_se);
        if f.lower_bound {
            map.insert(format!("{}_lower_bound", f.name), json!(true));
        }
    }
    format!("{:#}\n", Value::Object(map))
}

/// A row of the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    value: f64,
    sd: Option<f64>,
    floor: Option<f64>,
    floor_sd: Option<f64>,
    floor_se: Option<f64>,
    lower_bound: bool,
}

/// figures.csv: a row for each figure.
///
/// # Errors
/// None that could be told from a broken program.
pub fn to_csv(figures: &[Figure]) -> Result<Vec<u8>, CliError> {
    let failed = |e: &dyn std::error::Error| CliError::Failed(format!("{FIGURES}: {e}"));
    let mut table = csv::Writer::from_writer(Vec::new());
    for f in figures {
        let Figure { name, value, sd, floor, floor_sd, floor_se, lower_bound } = *f;
        let row = Kept { name: name.into(), value, sd, floor, floor_sd, floor_se, lower_bound };
        table.serialize(row).map_err(|e| failed(&e))?;
    }
    table.into_inner().map_err(|e| failed(&e))
}

/// The figures of the file at `path`, to the last bit.
///
/// # Errors
/// The file is damaged.
pub fn from_csv(bytes: &[u8], path: &Path) -> Result<Vec<Figure>, CliError> {
    let one = |row: Result<Kept, csv::Error>| {
        let Kept { name, value, sd, floor, floor_sd, floor_se, lower_bound } = row.map_err(|_| {
            CliError::usage(format!("{}: is damaged; measure the run again with --eval-only", path.display()))
        })?;
        // A few dozen short names, once in a process.
        Ok(Figure { name: name.leak(), value, sd, floor, floor_sd, floor_se, lower_bound })
    };
    csv::Reader::from_reader(bytes).into_deserialize().map(one).collect()
}

/// The table at the end of a run: values with their deviations over sets, floors with their standard errors.
pub fn table(figures: &[Figure]) -> String {
    let rows: Vec<Vec<String>> = (figures.iter())
        .map(|f| {
            let floor = f.floor.map(|v| figure(v, f.floor_se)).unwrap_or_default();
            // A ratio makes sense only against a floor that is a positive scale.
            let ratio = f
                .floor
                .filter(|v| *v > 0.0 && !["nll", "log_z", "trajectory_log_z", "smc_log_z"].contains(&f.name))
                .map(|v| format!("{:.3}", f.value / v));
            let bound = if f.lower_bound { "at least about " } else { "" };
            let value = format!("{bound}{}", figure(f.value, f.sd));
            vec![f.name.into(), value, floor, ratio.unwrap_or_default()]
        })
        .collect();
    plain(&["figure", "value", "floor", "ratio"], &rows)
}

/// Each figure's mean over runs, with the standard deviation over runs. A figure that is a lower bound in one run is
/// one in the mean, and has no deviation.
pub fn over_seeds(runs: &[Vec<Figure>]) -> Vec<Figure> {
    let mut names: Vec<&'static str> = Vec::new();
    for f in runs.iter().flatten() {
        if !names.contains(&f.name) {
            names.push(f.name);
        }
    }
    // A run may lack a figure, such as the share outside the support where nothing lies there.
    let one = |name: &&'static str| {
        let named = |r: &Vec<Figure>| r.iter().find(|f| f.name == *name).copied();
        let own: Vec<Figure> = runs.iter().filter_map(named).collect();
        let f = own.first()?;
        let values: Vec<f64> = own.iter().map(|f| f.value).collect();
        let floors: Vec<f64> = own.iter().filter_map(|f| f.floor).collect();
        let floor = (!floors.is_empty()).then(|| mean(&floors));
        let floor_sd = floor.and(f.floor_sd).map(|_| sd(&floors));
        let lower_bound = own.iter().any(|f| f.lower_bound);
        let sd = (!lower_bound).then(|| sd(&values));
        // Each run has floors of its own draws.
        let errors: f64 = own.iter().filter_map(|f| f.floor_se).map(|e| e * e).sum();
        let floor_se = floor.and(f.floor_se).map(|_| errors.sqrt() / own.len() as f64);
        Some(Figure { name: f.name, value: mean(&values), sd, floor, floor_sd, floor_se, lower_bound })
    };
    names.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_seeds_are_matched_by_name() {
        let [a, b] = [("a", 1.0), ("b", 5.0)].map(|(name, v)| Figure::plain(name, v));
        let both = over_seeds(&[vec![b], vec![a, b], vec![Figure { value: 7.0, ..b }, a]]);
        let found: Vec<_> = both.iter().map(|f| (f.name, f.value)).collect();
        assert_eq!(found, [("b", 17.0 / 3.0), ("a", 1.0)]);
    }

    #[test]
    fn figures_are_read_back_to_the_last_bit() {
        let odd = [f64::NAN, f64::INFINITY, -0.0, 1.0 / 3.0, 5e-324, 1.797e308].map(|v| Figure {
            sd: Some(v),
            floor_se: Some(0.1),
            lower_bound: v > 1.0,
            ..Figure::plain("a", v)
        });
        let bytes = to_csv(&odd).unwrap();
        let back = from_csv(&bytes, Path::new("figures.csv")).unwrap();
        let bits = |f: &Figure| {
            (f.name, f.value.to_bits(), f.sd.map(f64::to_bits), f.floor, f.floor_se, f.lower_bound)
        };
        assert_eq!(odd.map(|f| bits(&f)).to_vec(), back.iter().map(bits).collect::<Vec<_>>());
        let error = from_csv(&bytes[..bytes.len() - 9], Path::new("figures.csv")).unwrap_err().to_string();
        assert!(error.contains("figures.csv: is damaged"), "{error}");
    }

    #[test]
    fn a_lower_bound_says_so_and_has_no_error() {
        let good = Figure { sd: Some(0.3), floor: Some(384.0), ..Figure::plain("log_z", 384.0) };
        let bound = Figure { sd: None, lower_bound: true, ..Figure { value: 370.2, ..good } };
        let json = metrics_json(&[], &[bound]);
        assert!(json.contains("\"log_z_lower_bound\": true") && !json.contains("log_z_sd"), "{json}");
        assert!(!metrics_json(&[], &[good]).contains("lower_bound"));
        assert!(table(&[bound]).contains("log_z   at least about 370.2  384.0"), "{}", table(&[bound]));
        let floored = Figure { floor_se: Some(0.4), ..good };
        assert!(table(&[floored]).contains("384.00 +- 0.40"), "{}", table(&[floored]));
        let error = over_seeds(&[vec![floored], vec![floored]])[0].floor_se.unwrap();
        assert!((error - 0.4 / 2f64.sqrt()).abs() < 1e-12, "{error}");
        let both = over_seeds(&[vec![good], vec![bound]]);
        assert_eq!((both[0].lower_bound, both[0].sd), (true, None));
    }
}
