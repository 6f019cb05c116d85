//! Tables in run folders: learning curves and rows of finished jobs; the first byte says which.
#![no_main]

use experiments::run::history::{History, numbers};
use experiments::run::rows::{self, Row};
use experiments::run::{Place, RunFolder};
use libfuzzer_sys::fuzz_target;
use metastable_fuzz::{file, refusal};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
    split: usize,
    name: String,
    figure: f64,
}

impl Row for Job {
    const FILE: &'static str = "jobs.csv";
    const COLUMNS: &'static str = "split,name,figure";
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    if kind & 1 == 0 {
        let text = String::from_utf8_lossy(rest);
        numbers(&text).1.for_each(drop);
        // Rows for each step, or for every tenth.
        let steps = || (1..=9_u64).map(|k| if kind & 2 == 0 { k } else { 10 * k }).take(usize::from(kind >> 4));
        match History::read(&text, &["step", "loss"], steps()) {
            Ok(history) => {
                drop(History::read(&history.to_csv(), &["step", "loss"], steps()).expect("it reads back"))
            }
            Err(e) => refusal(&e),
        }
        return;
    }
    let place = Place::Named(file("run"));
    let folder = RunFolder::create(&place, true).expect("the temporary folder can be written to");
    folder.write(Job::FILE, rest).expect("the temporary folder can be written to");
    match rows::read(&folder, |job: &Job| job.split < 9, |job| job.split) {
        Ok(jobs) => {
            rows::write(&folder, &jobs).expect("rows can be written");
            let again = rows::read(&folder, |_: &Job| true, |job| job.split).expect("they read back");
            assert_eq!(again.len(), jobs.len());
        }
        Err(e) => refusal(&e),
    }
});
