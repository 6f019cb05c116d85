//! Observables: means of formulas over the samples, raw and by their weights, and free energies of regions.

use models::metrics::Weighted;
use models::target::own::{Formula, Names};
use models::target::{Geometry, Target};
use serde_json::{Value, json};

use super::SampleConfig;
use crate::run::error::CliError;
use crate::table::{figure, plain, shortest};

/// An observable and what the samples say of it.
pub(super) struct Observed {
    name: String,
    formula: String,
    /// The mean over the samples as they were drawn, with its standard error.
    raw: (f64, f64),
    /// The mean by their weights; the same where they have none.
    mean: (f64, f64),
    /// Of a region, a formula that is 0 or 1 at all samples, where there are several: its free energy
    /// -log(P / P of the first region) in units of k_B T.
    free_energy: Option<(f64, f64)>,
    /// The share of samples at which the formula is no finite number; they do not count.
    undefined: f64,
}

/// Whether `name` can be that of an observable: letters, digits and _.
pub fn names_an_observable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The formulas of the settings.
///
/// # Errors
/// One that cannot be read, by its name, with its place marked.
pub(super) fn formulas(config: &SampleConfig, geometry: Geometry) -> Result<Vec<Formula>, CliError> {
    if let Some(name) = config.observe.keys().find(|name| !names_an_observable(name)) {
        return Err(CliError::usage(format!(
            "observe: `{name}` is no name of an observable; use letters, digits and _"
        )));
    }
    let names = Names::new(geometry);
    let read = |(name, text): (&String, &String)| {
        names.formula(text).map_err(|e| CliError::usage(format!("observe.{name}: {e}")))
    };
    config.observe.iter().map(read).collect()
}

/// What the samples say of all observables. `weights` have the sum 1.
pub(super) fn observe(
    config: &SampleConfig,
    geometry: Geometry,
    (x, weights): (&[f64], &[f64]),
    (chains, inflation): (Option<usize>, f64),
) -> Result<Vec<Observed>, CliError> {
    let n = weights.len();
    let equal = vec![1.0 / n.max(1) as f64; n];
    let raw = Weighted { weights: &equal, chains, inflation };
    let by_weight = Weighted { weights, chains, inflation };
    let values = |formula: Formula| -> Result<Vec<f64>, CliError> {
        let mut log_p = vec![0.0; n];
        let failed = |e| CliError::Failed(format!("an observable cannot be computed: {e}"));
        formula.log_density_batch(x, &mut log_p, &mut vec![0.0; x.len()]).map_err(failed)?;
        // The value of a formula is that of an energy, -log p.
        Ok(log_p.into_iter().map(|l| 0.0 - l).collect())
    };
    let all = formulas(config, geometry)?.into_iter().map(values).collect::<Result<Vec<_>, _>>()?;
    let is_region = |f: &[f64]| f.iter().all(|v| *v == 0.0 || *v == 1.0);
    // One region alone has no other to be compared with.
    let first = all.iter().find(|f| is_region(f)).filter(|_| all.iter().filter(|f| is_region(f)).count() > 1);
    let one = |((name, formula), f): ((&String, &String), &Vec<f64>)| Observed {
        name: name.clone(),
        formula: formula.clone(),
        raw: raw.mean(f),
        mean: by_weight.mean(f),
        free_energy: first.filter(|_| is_region(f)).map(|first| {
            let (log_ratio, error) = by_weight.log_ratio(f, first);
            (0.0 - log_ratio, error)
        }),
        undefined: f.iter().filter(|v| !v.is_finite()).count() as f64 / n.max(1) as f64,
    };
    Ok(config.observe.iter().zip(&all).map(one).collect())
}

/// observables.csv; None without any.
pub(super) fn csv(all: &[Observed]) -> Option<String> {
    let header = "name,raw,raw_error,mean,error,free_energy,free_energy_error,undefined,formula\n";
    let row = |o: &Observed| {
        let (free, error) = o.free_energy.unwrap_or((f64::NAN, f64::NAN));
        let numbers = [o.raw.0, o.raw.1, o.mean.0, o.mean.1, free, error, o.undefined].map(shortest);
        // A field of csv in quotes.
        format!(
            "{},{},\"{}\"\n",
            o.name,
            numbers.join(",").replace("NaN", "nan"),
            o.formula.replace('"', "\"\"")
        )
    };
    (!all.is_empty()).then(|| header.to_string() + &all.iter().map(row).collect::<String>())
}

/// What metrics.json has of them.
pub(super) fn metrics(all: &[Observed]) -> Value {
    let one = |o: &Observed| {
        let mut of = json!({
            "raw": o.raw.0, "raw_sd": o.raw.1, "mean": o.mean.0, "sd": o.mean.1, "undefined": o.undefined,
            "formula": o.formula,
        });
        if let Some((free, error)) = o.free_energy {
            of["free_energy"] = json!(free);
            of["free_energy_sd"] = json!(error);
        }
        (o.name.clone(), of)
    };
    Value::Object(all.iter().map(one).collect())
}

/// The names of the columns of [`rows`].
pub(super) const COLUMNS: [&str; 5] = ["observable", "raw", "by weights", "free energy, k_B T", "formula"];

/// Their table, for a terminal and the report.
pub(super) fn rows(all: &[Observed]) -> Vec<Vec<String>> {
    let row = |o: &Observed| {
        let free = o.free_energy.map_or(String::new(), |(v, error)| figure(v, Some(error)));
        let shown = |(v, error)| figure(v, Some(error));
        vec![o.name.clone(), shown(o.raw), shown(o.mean), free, o.formula.clone()]
    };
    all.iter().map(row).collect()
}

/// The table as text; empty without any.
pub(super) fn text(all: &[Observed]) -> String {
    if all.is_empty() { String::new() } else { plain(&COLUMNS, &rows(all)) + "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Request, configure};
    use engine::rng::Stream;

    fn config(observables: &[(&str, &str)]) -> SampleConfig {
        let mut config = configure(&Request { target: Some("two-wells"), ..Default::default() }).unwrap();
        config.observe = observables.iter().map(|(name, f)| (name.to_string(), f.to_string())).collect();
        config
    }

    #[test]
    fn means_shares_and_free_energies_of_a_known_density() {
        // N(0, 1) in two dimensions from N(0, 1.3^2).
        let config =
            config(&[("left", "if(x[0] < 0, 1, 0)"), ("right", "if(x[0] > 1, 1, 0)"), ("square", "x[1]^2")]);
        let (n, geometry) = (20_000, Geometry::Euclidean(2));
        let mut x = vec![0.0; 2 * n];
        Stream::new(1, "observe", 0, 0).fill_normal(&mut x);
        x.iter_mut().for_each(|x| *x *= 1.3);
        let w = |x: &[f64]| (-0.5 * (x[0] * x[0] + x[1] * x[1]) * (1.0 - 1.0 / 1.69)).exp();
        let w: Vec<f64> = x.chunks(2).map(w).collect();
        let total: f64 = w.iter().sum();
        let weights: Vec<f64> = w.iter().map(|w| w / total).collect();
        let all = observe(&config, geometry, (&x, &weights), (None, 1.0)).unwrap();
        let near = |(v, error): (f64, f64), want: f64| {
            assert!((v - want).abs() < 5.0 * error && error < 0.1, "{v} +- {error}, {want}");
        };
        near(all[0].mean, 0.5);
        near(all[1].mean, 0.158_655);
        near(all[2].mean, 1.0);
        near(all[2].raw, 1.69);
        near(all[1].free_energy.unwrap(), (0.5_f64 / 0.158_655).ln());
        assert_eq!(all[0].free_energy.unwrap().0, 0.0);
        assert!(all[2].free_energy.is_none() && all[2].undefined == 0.0);
        assert!(csv(&all).unwrap().lines().count() == 4 && metrics(&all)["right"]["free_energy"].is_number());
        assert!(text(&all).contains("square") && csv(&[]).is_none() && text(&[]).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let config = config(&[("wrong", "x[0] +* 2")]);
        let said = formulas(&config, Geometry::Euclidean(2)).unwrap_err().to_string();
        assert!(said.starts_with("observe.wrong: "), "{said}");
    }

    #[test]
    fn names_are_words() {
        let said = formulas(&config(&[("a,b", "x[0]")]), Geometry::Euclidean(2)).unwrap_err().to_string();
        assert!(said.contains("`a,b` is no name"), "{said}");
    }

    #[test]
    fn samples_without_a_value_do_not_count_and_are_told() {
        let config = config(&[("log", "log(x[0])")]);
        let x = [1.0, 0.0, -1.0, 0.0, 1.0, 0.0, std::f64::consts::E, 0.0];
        let all = observe(&config, Geometry::Euclidean(2), (&x, &[0.25; 4]), (None, 1.0)).unwrap();
        assert!((all[0].mean.0 - 1.0 / 3.0).abs() < 1e-12 && all[0].undefined == 0.25);
    }
}
