//! The verdict of `sample` as a detector: good runs and runs that are spoilt on purpose.
//!
//! `cargo test --release --test panel -- --ignored --nocapture` makes all runs of panel.toml, some minutes, and prints
//! the table of docs/your-density.md; those of SHORT are made in every test run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;

const PANEL: &str = include_str!("panel.toml");
/// Runs of seconds. Spoilt ones are chains that stay where they began: of too short a training (`two-wells-20-steps`) the
/// weights make right figures, so that it may be called good.
const SHORT: [&str; 4] = ["two-wells-6-smc", "mueller-brown-smc", "two-wells-nuts", "funnel-nuts"];

#[derive(Deserialize)]
struct Panel {
    good: BTreeMap<String, String>,
    spoilt: BTreeMap<String, String>,
}

/// A finished run.
struct Row {
    name: String,
    level: String,
    /// The figures that are off, with their distances in standard errors or floors.
    off: Vec<String>,
    first: String,
}

fn number(metrics: &Value, key: &str) -> Option<f64> {
    metrics.get(key).and_then(Value::as_f64)
}

/// What is off by more than three standard errors, as exact samples and the known log Z tell.
fn off(metrics: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for name in ["log_z", "trajectory_log_z", "smc_log_z"] {
        let of = |end: &str| number(metrics, &format!("{name}{end}"));
        if let (Some(value), Some(known), Some(error)) = (of(""), of("_floor"), of("_sd"))
            && (value - known).abs() > 3.0 * error
        {
            out.push(format!("{name} by {:.1}", (value - known) / error));
        }
    }
    // The samples that a run stands for: corrected where there are weights.
    let share = number(metrics, "trajectory_ess");
    // Of weighted samples as few count as their share says: distances fall as 1 / sqrt n, a divergence as 1 / n.
    for (name, power) in [("e_w2", -0.5), ("mode_kl", -1.0)] {
        let key = if share.is_some() { format!("corrected_{name}") } else { name.into() };
        let fewer = share.map_or(1.0, |share| share.powf(power));
        let of = |end: &str| number(metrics, &format!("{key}{end}"));
        if let (Some(value), Some(floor), Some(sd)) = (of(""), of("_floor"), of("_floor_sd"))
            && value > fewer * (floor + 5.0 * sd.max(0.1 * floor))
        {
            out.push(format!("{key} {:.1} floors", value / floor));
        }
    }
    out
}

fn run(name: &str, command: &str, folder: &Path) -> Row {
    let out = folder.join(name);
    let mut sample = Command::new(env!("CARGO_BIN_EXE_sample"));
    sample.args(command.split(' ')).args(["--quiet", "--out"]).arg(&out);
    sample.arg("--reference-cache").arg(folder.join("cache"));
    // A failed check is exit code 1, a training that diverges 3.
    let end = sample.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&end.stderr).into_owned();
    let Ok(text) = std::fs::read_to_string(out.join("metrics.json")) else {
        assert!(end.status.code() == Some(3), "{name}: {said}");
        return Row { name: name.into(), level: "diverged".into(), off: Vec::new(), first: said };
    };
    let metrics: Value = serde_json::from_str(&text).unwrap();
    // What is known of the target plays no part.
    let level = metrics["blind_verdict"].as_str().unwrap().to_string();
    let blind = |f: &&Value| f["blind"] == true;
    let first = metrics["findings"].as_array().and_then(|all| all.iter().find(blind));
    let first = first.and_then(|f| f["text"].as_str()).unwrap_or_default().to_string();
    Row { name: name.into(), level, off: off(&metrics), first }
}

/// The rows of good and of spoilt runs of those names.
fn rows(wanted: impl Fn(&str) -> bool) -> [Vec<Row>; 2] {
    let panel: Panel = toml::from_str(PANEL).unwrap();
    let dir = tempfile::tempdir().unwrap();
    [panel.good, panel.spoilt].map(|runs| {
        runs.iter().filter(|(name, _)| wanted(name)).map(|(name, c)| run(name, c, dir.path())).collect()
    })
}

fn print(rows: &[Row]) {
    for Row { name, level, off, first } in rows {
        println!("| {name} | {level} | {} | {first} |", off.join(", "));
    }
}

fn no_wrong_run_is_called_good(rows: &[Row]) {
    for row in rows {
        assert!(row.off.is_empty() || row.level != "good", "{}: {:?} {}", row.name, row.off, row.first);
    }
}

#[test]
fn short_runs_are_judged_rightly() {
    let [good, spoilt] = rows(|name| SHORT.contains(&name));
    print(&good);
    print(&spoilt);
    no_wrong_run_is_called_good(&good);
    no_wrong_run_is_called_good(&spoilt);
    assert!(good.iter().all(|row| row.level == "good"));
    assert!(spoilt.iter().all(|row| row.level != "good"));
}

#[test]
#[ignore = "minutes"]
fn the_whole_panel() {
    let [good, spoilt] = rows(|_| true);
    print(&good);
    print(&spoilt);
    let alarms = good.iter().filter(|row| row.level == "bad").count();
    println!("good runs called bad: {alarms} of {}", good.len());
    let missed = spoilt.iter().filter(|row| row.level == "good").count();
    println!("spoilt runs called good: {missed} of {}", spoilt.len());
    no_wrong_run_is_called_good(&good);
    no_wrong_run_is_called_good(&spoilt);
    assert!(10 * alarms <= good.len(), "false alarms");
}
