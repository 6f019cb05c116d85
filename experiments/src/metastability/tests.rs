//! A small study from its beginning to its end.

use super::{KIND, MetastabilityConfig, execute};
use crate::config::{load_exact, to_toml};
use crate::run::interrupt::Interrupt;
use crate::run::{Inputs, Place, RunFolder};

fn small() -> MetastabilityConfig {
    MetastabilityConfig {
        half: 8,
        degree: 6,
        channels: 2,
        time: 20.0,
        exit_time: 30.0,
        exit_widths: vec![1.0],
        multiples: vec![0.5, 1.5],
        samples: 12,
        steps: 3,
        widths: vec![0.5, 2.0],
        exponents: vec![1.0, 2.0],
        homophilies: vec![0.33, 0.67],
        homophily: 0.67,
        ..MetastabilityConfig::default()
    }
}

#[test]
fn a_study_writes_rows_pictures_and_a_table() {
    let plan = small();
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(&Place::Named(dir.path().join("study")), false).unwrap();
    folder.begin(KIND, &[("config.toml", &to_toml(&plan, &plan).unwrap())], Inputs::new()).unwrap();
    let table = execute(&plan, &folder, &Interrupt::default(), true).unwrap();
    // Header, rule, and a row for each value of each axis.
    assert_eq!(table.lines().count(), 2 + 2 + 2 + 2 + 2, "{table}");
    let rows = String::from_utf8(folder.read("metastability.csv").unwrap()).unwrap();
    assert_eq!(rows.lines().count(), 1 + plan.phase_points().len() + 4);
    for line in rows.lines().skip(1).filter(|line| line.starts_with("variational")) {
        let rise: f64 = line.rsplit(',').next().unwrap().parse().unwrap();
        // What rises is the error of the steps.
        assert!(rise <= 1e-9, "the energy of the third form has risen: {line}");
    }
    for picture in ["phase.png", "exit.png", "courses.png"] {
        assert_eq!(&folder.read(picture).unwrap()[1..4], b"PNG", "{picture}");
    }
    let courses = String::from_utf8(folder.read("courses.csv").unwrap()).unwrap();
    assert_eq!(courses.lines().count(), 1 + 2 * 5 * plan.samples);
    assert_eq!(load_exact::<MetastabilityConfig>(&folder.file("config.toml")).unwrap(), plan);
}
