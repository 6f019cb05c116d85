//! Instructions of the kernels that take the time, counted by callgrind and held against a table: times on a shared
//! machine differ by more than a tenth from one minute to the next, counts do not.
//!
//! The test runs itself under valgrind, which has no AVX-512: kernels are those of AVX2, on one thread. Where there is
//! no valgrind, it says so and passes. `METASTABLE_INSTRUCTIONS=write cargo test -p metastable-benches --test
//! instructions` renews the table.
#![cfg(target_os = "linux")]

mod kernels;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::simd::{Level, level};
use kernels::KERNELS;

/// Set in the process that valgrind runs.
const COUNTED: &str = "METASTABLE_COUNTED";
/// How far counts may be from the table's: a change that costs more is to be seen and meant. What the compiler inlines
/// changed one count by 4.4 % where nothing of its kernel had changed.
const TOLERANCE: f64 = 0.1;
const RENEW: &str = "METASTABLE_INSTRUCTIONS=write cargo test -p metastable-benches --test instructions";

/// Callgrind zeroes its counters when this is called. The numbers keep the two functions from being made one.
#[inline(never)]
fn counting_begins() {
    std::hint::black_box(1);
}

/// Callgrind writes its counters down when this is called.
#[inline(never)]
fn counting_ends() {
    std::hint::black_box(2);
}

/// Every kernel once, after two calls that fill its buffers. Run under valgrind by the test below.
#[test]
#[ignore = "valgrind runs it"]
fn every_kernel() {
    if std::env::var_os(COUNTED).is_none() {
        return;
    }
    assert_eq!(level(), Level::Avx2, "the table is of AVX2");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    // On the worker itself: parallel loops then run on it without waking anybody.
    pool.install(|| {
        for (_, build) in KERNELS {
            let mut step = build();
            step();
            step();
            counting_begins();
            step();
            counting_ends();
        }
    });
}

#[test]
fn kernels_take_the_instructions_of_the_table() {
    if let Some(reason) = left_out() {
        println!("left out: instruction counts: {reason}");
        return;
    }
    let counts = count();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml");
    if std::env::var("METASTABLE_INSTRUCTIONS").is_ok_and(|v| v == "write") {
        std::fs::write(&path, written(&counts)).unwrap();
    }
    let table: Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let complaints = complaints(&counts, &table.instructions);
    if table.compiler != compiler() {
        let (there, here) = (&table.compiler, compiler());
        println!(
            "counts are of {there}, this is {here}: nothing is held against them; renew them by {RENEW}"
        );
        complaints.iter().for_each(|line| println!("{line}"));
        return;
    }
    assert!(
        complaints.is_empty(),
        "kernels do not take the instructions of benches/instructions.toml:\n{}\nif that is meant: {RENEW}",
        complaints.join("\n")
    );
}

#[derive(serde::Deserialize)]
struct Table {
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

/// Why nothing can be counted here.
fn left_out() -> Option<String> {
    if !cfg!(debug_assertions) {
        return Some("the table is of the dev profile".into());
    }
    if level() < Level::Avx2 {
        return Some("the table is of AVX2, which this CPU or METASTABLE_SIMD does not have".into());
    }
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => None,
        _ => Some("valgrind is missing; apt-get install valgrind".into()),
    }
}

/// The compiler's version, its date left out.
fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// The instructions of each kernel.
fn count() -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("counts");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--zero-before=*counting_begins*", "--dump-before=*counting_ends*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "every_kernel", "--ignored", "--test-threads=1"])
        .env(COUNTED, "1")
        .env_remove("METASTABLE_SIMD")
        .output()
        .unwrap();
    assert!(output.status.success(), "valgrind: {}", String::from_utf8_lossy(&output.stderr));
    let counts: Vec<u64> = (1..=KERNELS.len()).map(|k| total(&out.with_extension(k.to_string()))).collect();
    KERNELS.iter().zip(counts).map(|((name, _), count)| (name.to_string(), count)).collect()
}

/// The total of one of callgrind's files.
fn total(path: &PathBuf) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let total = text.lines().find_map(|l| l.strip_prefix("totals: ").or(l.strip_prefix("summary: ")));
    total.and_then(|n| n.trim().parse().ok()).unwrap_or_else(|| panic!("{}: no total", path.display()))
}

/// A line for each kernel that is not as in the table.
fn complaints(counts: &BTreeMap<String, u64>, table: &BTreeMap<String, u64>) -> Vec<String> {
    let gone = table.keys().filter(|name| !counts.contains_key(*name));
    let gone = gone.map(|name| format!("{name}: is in the table alone"));
    let other = counts.iter().filter_map(|(name, count)| {
        let Some(there) = table.get(name) else { return Some(format!("{name}: is not in the table")) };
        let change = *count as f64 / *there as f64 - 1.0;
        let percent = 100.0 * change;
        (change.abs() > TOLERANCE).then(|| format!("{name}: {count}, in the table {there} ({percent:+.1} %)"))
    });
    gone.chain(other).collect()
}

/// The table as a file.
fn written(counts: &BTreeMap<String, u64>) -> String {
    let lines: String = counts.iter().map(|(name, count)| format!("{name:?} = {count}\n")).collect();
    format!(
        "# Instructions of a call in the dev profile, AVX2, one thread: written by\n# {RENEW}\ncompiler = {:?}\n\n[instructions]\n{lines}",
        compiler()
    )
}

#[test]
fn a_kernel_that_grew_or_has_no_row_is_named() {
    let table = |rows: &[(&str, u64)]| rows.iter().map(|(name, n)| (name.to_string(), *n)).collect();
    let there = table(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1)]);
    assert_eq!(
        complaints(&table(&[("a", 1099), ("b", 1110), ("c", 890), ("e", 1)]), &there),
        [
            "d: is in the table alone",
            "b: 1110, in the table 1000 (+11.0 %)",
            "c: 890, in the table 1000 (-11.0 %)",
            "e: is not in the table"
        ]
    );
}
