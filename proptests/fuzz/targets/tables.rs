//! Tables in run folders: learning curves and rows of finished jobs; the first byte says which.
#![no_main]

use experiments::run::folder::{History, RunFolder, numbers};
use experiments::run::rows::{self, Row};
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
        match History::read(&text, &["step", "loss"], 100) {
            Ok(history) => {
                drop(History::read(&history.to_csv(), &["step", "loss"], 100).expect("it reads back"))
            }
            Err(e) => refusal(&e),
        }
        return;
    }
    let path = file("run");
    let folder = match path.is_dir() {
        true => RunFolder::open(&path, &[]),
        false => RunFolder::create(&path, false),
    };
    let folder = folder.expect("the temporary folder can be written to");
    std::fs::write(folder.file(Job::FILE), rest).expect("the temporary folder can be written to");
    match rows::read(&folder, |job: &Job| job.split < 9, |job| job.split) {
        Ok(jobs) => {
            rows::write(&folder, &jobs).expect("rows can be written");
            let again = rows::read(&folder, |_: &Job| true, |job| job.split).expect("they read back");
            assert_eq!(again.len(), jobs.len());
        }
        Err(e) => refusal(&e),
    }
});
