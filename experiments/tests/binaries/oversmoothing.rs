//! The binary `oversmoothing` as a user meets it.

use std::path::{Path, PathBuf};
use std::process::Command;

use experiments::datasets::encode;
use models::gnn::FeatureMatrix;
use models::gnn::data::synthetic::karate;

use crate::binary;

fn oversmoothing(args: &[&str]) -> Command {
    let mut command = binary::command(env!("CARGO_BIN_EXE_oversmoothing"), args);
    command.args(["--quiet", "--threads", "1"]);
    command
}

fn run(args: &[&str], out: &Path) {
    binary::succeed(&mut oversmoothing(&[args, &["--out", out.to_str().unwrap()]].concat()));
}

fn refused(args: &[&str], needle: &str) {
    binary::refused(&mut oversmoothing(args), needle);
}

fn text(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_has_no_effect_or_cannot_be_done_is_refused_before_the_folder_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("never"), dir.path().join("gcn.toml"));
    std::fs::write(&file, "[model]\nname = \"gcn\"\n").unwrap();
    let file = file.to_str().unwrap();
    let grid = |more: &[&str], needle: &str| {
        refused(&[more, &["--layers", "3", "--out", out.to_str().unwrap()]].concat(), needle);
    };
    grid(&["--models", "grade,grand", "--set", "model.name=gcn"], "model.name = \"gcn\" has no effect here");
    grid(&["--models", "gcn,grand", "--config", file], "name the networks with --models");
    grid(&["--set", "data.name=karate"], "name the data with --data");
    grid(&["--set", "train.epochs=5"], "train.epochs = 5 has no effect here");
    grid(&["--set", "model.hidden=32"], "model.hidden = 32 has no effect here");
    grid(&["--set", "model.layers=9"], "give --layers");
    grid(&["--set", "model.kernel=foo"], "--set: model.kernel = \"foo\": unknown variant `foo`");
    grid(&["--depths", "2,4"], "cannot be used with");
    grid(&["--seed", "18446744073709551615"], "0..=9223372036854775807");
    let trained = |more: &[&str], needle: &str| {
        refused(&[more, &["--out", out.to_str().unwrap()]].concat(), needle);
    };
    trained(&["--layers", "-1"], "invalid value");
    trained(&["--depths", "2,4"], "--data");
    trained(&["--data", "karate", "--depths", "-1"], "invalid value");
    trained(&["--data", "karate", "--models", "gcn", "--config", file, "--depths", "0"], "gcn at depth 0");
    trained(&["--data", "karate", "--models", "grand", "--depths", "2,5000"], "grand at depth 5000");
    trained(&["--data", "karate", "--models", "gcn,h2gcn", "--depths", "2,4"], "h2gcn at depth 4");
    trained(
        &["--data", "karate", "--set", "data.split=public"],
        "data.split = \"public\" has no effect here",
    );
    trained(&["--data", "karate", "--set", "model.step=0.25"], "--depths");
    trained(&["--data", "csbm", "--set", "data.metric=roc-auc"], "roc-auc wants two classes");
    assert!(!out.exists());
}

#[test]
fn networks_keep_their_names_and_a_seed_may_stand_in_a_setting() {
    let dir = tempfile::tempdir().unwrap();
    let energies = |name: &str, args: &[&str]| {
        let out = dir.path().join(name);
        run(&[&["--layers", "3", "--models", "grade,gcn"], args].concat(), &out);
        text(out.join("energy.csv"))
    };
    let five = energies("flag", &["--seed", "5"]);
    assert_eq!(five, energies("setting", &["--set", "seed=5"]));
    assert_eq!(five, energies("both", &["--set", "seed=1", "--seed", "5"]));
    assert_ne!(five, energies("none", &[]));
    let config = text(dir.path().join("setting/config.toml"));
    assert_eq!(config.lines().filter(|l| *l == "seed = 5").count(), 3, "{config}");
    // GRADE and GCN are not one network.
    let rows = |name: &str| -> Vec<String> {
        let own = five.lines().filter_map(|l| l.strip_prefix(&format!("{name},")));
        own.map(String::from).collect()
    };
    assert!(rows("grade").len() == 4 && rows("gcn").len() == 4 && rows("grade")[3] != rows("gcn")[3]);
}

#[test]
fn a_damaged_depth_csv_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let args = ["--data", "karate", "--models", "gcn", "--depths", "2,4", "--set", "train.epochs=2"];
    run(&args, &out);
    let file = out.join("depth.csv");
    let whole = text(file.clone());
    let (header, rows) = whole.split_once('\n').unwrap();
    let (first, second) = rows.split_once('\n').unwrap();
    let resume = ["--resume", out.to_str().unwrap()];
    let damages = [
        String::new(),
        "model,depth\n".into(),
        format!("{header}\ngcn,2,foo\n"),
        format!("{header}\n{first}"),
        format!("{header}\n{first}\n{first}\n"),
        format!("{header}\n{first}\n{}\n", second.trim_end().rsplit_once(',').unwrap().0),
        format!("{header}\n{}\n", first.replace("gcn,2", "gcn,3")),
    ];
    for damage in damages {
        std::fs::write(&file, &damage).unwrap();
        refused(&resume, "is damaged; start a new run");
        assert_eq!(text(file.clone()), damage);
    }
    std::fs::write(&file, &whole).unwrap();
    assert!(oversmoothing(&resume).output().unwrap().status.success());
    assert_eq!(text(file), whole);
}

#[test]
fn a_plan_that_was_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    run(&["--layers", "2", "--models", "grand"], &out);
    let config = text(out.join("config.toml"));
    std::fs::write(out.join("config.toml"), config.replace("[\"grand\"]", "[\"gcn\"]")).unwrap();
    refused(&["--resume", out.to_str().unwrap()], "networks = [\"gcn\"], but the run began with [\"grand\"]");
}

#[test]
fn ctrl_c_ends_the_grid() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let path = out.to_str().unwrap();
    let args = ["--layers", "1000000", "--models", "gcn,gat", "--stop-after", "500", "--out", path];
    let output = oversmoothing(&args).output().unwrap();
    let stderr = binary::stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("again with: oversmoothing --resume") && stderr.lines().count() == 1, "{stderr}");
    assert!(!out.join("energy.csv").exists() && !out.join("DONE").exists());
}

#[test]
fn the_version_is_its_own() {
    let output = binary::succeed(&mut oversmoothing(&["--version"]));
    assert!(binary::stdout(&output).starts_with("oversmoothing "));
}

#[test]
fn arms_have_settings_depths_splits_and_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let (out, file) = (dir.path().join("run"), dir.path().join("arms.toml"));
    let flow = "[flow]\ndepths = [64]\n[flow.model]\nname = \"grade\"\nform = \"variational\"\nsolver = \"implicit\"\n";
    std::fs::write(&file, format!("{flow}step = 0.5\ngrowth = 2\naggregation = 6\n")).unwrap();
    let arms = ["--models", "gcn", "--arm", "still=grade,aggregation=0", "--arms", file.to_str().unwrap()];
    let data = ["--data", "karate", "--depths", "2,3", "--set", "train.epochs=2"];
    run(&[&arms[..], &data, &["--splits", "2", "--seeds", "2", "--seed", "7"]].concat(), &out);
    let rows = text(out.join("depth.csv"));
    let of = |arm: &str| -> Vec<Vec<&str>> {
        let own = rows.lines().map(|l| l.split(',').collect::<Vec<_>>());
        own.filter(|row| row[0] == arm).collect()
    };
    assert_eq!((of("gcn").len(), of("still").len(), of("flow").len()), (8, 8, 4), "{rows}");
    let jobs: Vec<_> = of("flow").iter().map(|row| row[1..4].join(" ")).collect();
    assert_eq!(jobs, ["64 0 7", "64 0 8", "64 1 7", "64 1 8"]);
    assert_eq!(of("gcn")[4][4], "3", "layers are units");
    let units: f64 = of("flow")[0][4].parse().unwrap();
    assert!((units - 16.0).abs() < 1.0, "r1 s(0) T = 16, {units}");
    assert_ne!(of("gcn")[0][6..8], of("gcn")[1][6..8], "another seed is another training");
    assert_eq!(text(out.join("summary.csv")).lines().count(), 6);
    assert!(out.join("units.png").exists() && out.join("depth.png").exists());
    let again = |more: &[&str], needle: &str| {
        refused(&[&data[..], more, &["--out", dir.path().join("never").to_str().unwrap()]].concat(), needle);
    };
    again(&["--models", "gcn", "--arm", "gcn=grade"], "two arms of the name gcn");
    again(&["--arm", "a=grade,agregation=0"], "a: --set: unknown key `model.agregation`");
    again(&["--arm", "a=grade,form=variational"], "set model.solver = \"implicit\"");
    again(&["--arm", "a=gcn,seed.x=1"], "a: --set");
    again(&["--arm", "a=grade,step=0.25"], "--depths");
    again(&["--models", "gcn", "--splits", "1001"], "--splits = 1001 must");
    again(&["--models", "gcn", "--splits", "900"], "lower --splits");
    assert!(!dir.path().join("never").exists());
}

#[test]
fn data_that_do_not_suit_an_arm_are_told_of_and_scaled_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("own.npz"), dir.path().join("run"));
    let mut data = karate();
    data.edge_weights = vec![2.0; data.edges.len()];
    let features: Vec<f32> = (0..34).flat_map(|i| [3e38 * (i % 2) as f32, 3e38]).collect();
    data.features = FeatureMatrix::from_rows(34, 2, features);
    std::fs::write(&file, encode(&data).unwrap()).unwrap();
    let own = ["--data", file.to_str().unwrap(), "--depths", "2", "--set", "train.epochs=2"];
    let out_at = ["--out", out.to_str().unwrap()];
    refused(&[&own[..], &["--models", "gcn,gat"], &out_at].concat(), "gat at depth 2: model.name = gat");
    let one = ["--models", "gcn", "--arm", "b=gat,data.weights=ignore"];
    refused(&[&own[..], &one, &out_at].concat(), "give --set data.weights=VALUE");
    assert!(!out.exists());
    let models = ["--models", "gcn,kuramoto", "--set", "model.attention=false"];
    let train = |more: &[&str], name: &str| {
        let out = dir.path().join(name);
        let args = [&own[..], &models, more, &["--out", out.to_str().unwrap()]].concat();
        let mut command = binary::command(env!("CARGO_BIN_EXE_oversmoothing"), &args);
        let output = binary::succeed(command.args(["--threads", "1"]));
        (text(out.join("depth.csv")), binary::stderr(&output))
    };
    let (rows, said) = train(&[], "raw");
    assert!(rows.lines().nth(1).unwrap().starts_with("gcn,2,0,0,nan,nan"), "{rows}");
    let note =
        said.lines().find(|l| l.starts_with("gcn at depth 2, split 0, seed 0: the loss is not finite"));
    assert!(note.is_some_and(|l| l.ends_with("set data.scale = standard")), "{said}");
    let (rows, said) = train(&["--set", "data.scale=standard"], "scaled");
    assert!(rows.lines().nth(1).unwrap().starts_with("gcn,2,0,0,2,0."), "{rows}");
    assert!(
        rows.lines().nth(2).unwrap().starts_with("kuramoto,2,0,0,nan,0."),
        "no units of diffusion: {rows}"
    );
    assert!(!said.contains("not finite") && dir.path().join("scaled/units.png").exists(), "{said}");
}

#[test]
fn states_on_the_way_are_those_of_networks_with_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (out, part) = (dir.path().join("run"), dir.path().join("part"));
    let args = ["--data", "karate", "--models", "grand,gcn", "--depths", "2,6", "--along"];
    let args = [&args[..], &["--set", "train.epochs=3"]].concat();
    run(&args, &out);
    let rows = text(out.join("trajectory.csv"));
    let times = |start: &str| -> Vec<String> {
        let own = rows.lines().filter(|l| l.starts_with(start));
        own.map(|l| l.split(',').nth(4).unwrap().to_string()).collect()
    };
    assert_eq!(times("grand,2,"), ["0", "1", "2"], "{rows}");
    assert_eq!(times("grand,6,"), ["0", "1", "2", "4", "6"]);
    assert_eq!(times("gcn,"), Vec::<String>::new(), "layers have parameters of their own");
    // The last state is that of depth.csv: its plain energy and its rank.
    let depth = text(out.join("depth.csv"));
    let (last, whole) =
        (rows.lines().find(|l| l.starts_with("grand,6,0,0,6,")), depth.lines().nth(2).unwrap());
    let (last, whole): (Vec<_>, Vec<_>) = (last.unwrap().split(',').collect(), whole.split(',').collect());
    assert_eq!((last[5], last[7]), (whole[10], whole[14]), "{whole:?}");
    assert!(out.join("trajectory.png").exists());
    // What is stopped goes on to the same files.
    let mut stopped =
        oversmoothing(&[&args[..], &["--out", part.to_str().unwrap(), "--stop-after", "5"]].concat());
    assert_eq!(stopped.output().unwrap().status.code(), Some(130));
    binary::succeed(&mut oversmoothing(&["--resume", part.to_str().unwrap()]));
    assert_eq!(text(part.join("trajectory.csv")), rows);
}

/// Settings of a study of metastability that takes a moment.
const SMALL: &[&str] = &[
    "--metastability",
    "--set",
    "half=8",
    "--set",
    "degree=6",
    "--set",
    "time=20",
    "--set",
    "samples=12",
    "--set",
    "steps=3",
    "--set",
    "forms=[\"variational\"]",
    "--set",
    "homophilies=[0.33, 0.67]",
    "--set",
    "homophily=0.67",
    "--set",
    "exit_time=30",
    "--set",
    "multiples=[0.5, 1.5]",
];

#[test]
fn a_study_of_metastability_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, part) = (dir.path().join("whole"), dir.path().join("part"));
    run(SMALL, &whole);
    let mut stopped =
        oversmoothing(&[SMALL, &["--out", part.to_str().unwrap(), "--stop-after", "30"]].concat());
    assert_eq!(stopped.output().unwrap().status.code(), Some(130));
    assert!(!part.join("phase.png").exists());
    binary::succeed(&mut oversmoothing(&["--resume", part.to_str().unwrap()]));
    for file in ["metastability.csv", "courses.csv", "phase.png", "exit.png", "courses.png"] {
        assert_eq!(
            std::fs::read(part.join(file)).unwrap(),
            std::fs::read(whole.join(file)).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn a_study_of_metastability_refuses_what_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("never");
    let refuse = |more: &[&str], needle: &str| {
        refused(&[SMALL, more, &["--out", out.to_str().unwrap()]].concat(), needle);
    };
    refuse(&["--set", "model.width=2"], "unknown");
    refuse(&["--set", "contrast=0.9"], "contrast = 0.9 must");
    refuse(&["--set", "degree=60"], "degree = 60: a class of 8 nodes is too small");
    refuse(&["--data", "karate"], "cannot be used with");
    assert!(!out.exists());
}
