//! The binary `graph` as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

fn graph(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_graph")).args(args).env_remove("METASTABLE_DATA").output().unwrap()
}

fn jobs(dir: &Path) -> String {
    // Without the seconds, which no two runs share.
    let text = std::fs::read_to_string(dir.join("jobs.csv")).unwrap();
    text.lines().map(|l| l.rsplit_once(',').unwrap().0.to_string() + "\n").collect()
}

#[test]
fn a_run_leaves_its_files_and_resumes_to_the_same_figures() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, threads: &str| {
        let out = dir.path().join(name);
        let result = graph(&[
            "--data",
            "karate",
            "--set",
            "train.epochs=30",
            "--quiet",
            "--threads",
            threads,
            "--out",
            out.to_str().unwrap(),
        ]);
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        out
    };
    let (one, two) = (run("one", "1"), run("two", "2"));
    assert_eq!(jobs(&one), jobs(&two));
    for file in [
        "config.toml",
        "metrics.json",
        "history.csv",
        "checkpoint.safetensors",
        "training.png",
        "graph.png",
        "embeddings.npy",
        "predictions.csv",
    ] {
        assert!(std::fs::metadata(one.join(file)).is_ok_and(|m| m.len() > 0), "{file}");
    }
    // Half of the trainings are lost, as by kill -9: resuming does them again and nothing else.
    let text = std::fs::read_to_string(two.join("jobs.csv")).unwrap();
    let kept: String = text.lines().take(5).map(|l| l.to_string() + "\n").collect();
    std::fs::write(two.join("jobs.csv"), kept).unwrap();
    std::fs::remove_file(two.join("metrics.json")).unwrap();
    let result = graph(&["--resume", two.to_str().unwrap(), "--quiet"]);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(jobs(&one), jobs(&two));
    assert!(two.join("metrics.json").exists());
}

#[test]
fn a_batch_goes_on_from_its_folder_and_one_failure_does_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("both");
    let path = out.to_str().unwrap();
    let result = graph(&["--quick", "--quiet", "--no-ablation", "--out", path]);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let whole = ["karate", "csbm"].map(|name| jobs(&out.join(name)));
    // As if it had been stopped in the first of the two.
    let file = out.join("karate/jobs.csv");
    let begun: String =
        std::fs::read_to_string(&file).unwrap().lines().take(2).map(|l| format!("{l}\n")).collect();
    std::fs::write(&file, begun).unwrap();
    std::fs::remove_dir_all(out.join("csbm")).unwrap();
    let result = graph(&["--resume", path, "--no-ablation"]);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(["karate", "csbm"].map(|name| jobs(&out.join(name))), whole);
    let table = String::from_utf8_lossy(&result.stdout).into_owned();
    assert!(table.contains("karate ") && table.contains("csbm "), "{table}");
    // With --force nothing of the earlier batch counts as done, even where the new one stops before it.
    let result =
        graph(&["--quick", "--quiet", "--no-ablation", "--force", "--set", "model.hidden=0", "--out", path]);
    assert_eq!(result.status.code(), Some(2));
    assert_eq!(
        ["karate", "csbm"].map(|name| jobs(&out.join(name))),
        whole,
        "a refused command removes nothing"
    );
    let forced = ["--quick", "--quiet", "--no-ablation", "--force", "--set", "data.splits=1", "--out", path];
    let result = graph(&forced);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(["karate", "csbm"].map(|name| jobs(&out.join(name)).lines().count()), [2, 2]);
    // The karate club has no 1500 nodes to choose development nodes from; the block model, of 500, has 100.
    let path = dir.path().join("one");
    let args = ["--quick", "--split", "random", "--set", "data.development=100", "--no-ablation", "--out"];
    let result = graph(&[&args[..], &[path.to_str().unwrap()]].concat());
    assert_eq!(result.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&result.stderr).contains("karate"));
    assert!(String::from_utf8_lossy(&result.stdout).contains("csbm "));
    assert!(path.join("csbm/metrics.json").exists() && !path.join("karate").exists());
}

/// `results/latest` is a link that the run itself moves.
#[cfg(unix)]
#[test]
fn the_latest_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graph"));
        let result = command.args(args).args(["--no-ablation", "--quiet"]).current_dir(dir.path()).output();
        let result = result.unwrap();
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    };
    let latest = dir.path().join("results/latest");
    run(&["--quick"]);
    let link = std::fs::read_link(&latest).unwrap();
    std::fs::remove_dir_all(latest.join("csbm")).unwrap();
    run(&["--resume", "results/latest"]);
    assert!(latest.join("csbm/metrics.json").exists());
    assert_eq!(std::fs::read_link(&latest).unwrap(), link);

    run(&["--data", "karate", "--quick", "--search", "4", "--out", "results/graph/search"]);
    std::fs::remove_dir_all(dir.path().join("results/graph/search/best")).unwrap();
    std::fs::remove_file(&latest).unwrap();
    std::os::unix::fs::symlink("graph/search", &latest).unwrap();
    run(&["--resume", "results/latest"]);
    assert!(dir.path().join("results/graph/search/best/metrics.json").exists());
}

#[test]
fn every_model_trains_and_a_search_writes_its_log() {
    let dir = tempfile::tempdir().unwrap();
    for model in models::graph::settings::MODELS {
        let out = dir.path().join(model);
        let result = graph(&[
            "--data",
            "csbm",
            "--model",
            model,
            "--quick",
            "--quiet",
            "--no-ablation",
            "--out",
            out.to_str().unwrap(),
        ]);
        assert!(result.status.success(), "{model}: {}", String::from_utf8_lossy(&result.stderr));
    }
    let out = dir.path().join("search");
    let result =
        graph(&["--data", "karate", "--quick", "--search", "4", "--quiet", "--out", out.to_str().unwrap()]);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let log = std::fs::read_to_string(out.join("search/search.csv")).unwrap();
    // Four trials in round 1, the best of them in round 2, and that one again in round 3.
    assert_eq!(log.lines().count(), 1 + 4 + 1 + 1);
    assert!(!log.contains("test"), "the search does not look at test figures");
    // Interrupted after a few trainings, as by kill -9: resuming finds the same.
    let trainings = out.join("search/trainings.csv");
    let whole = std::fs::read_to_string(&trainings).unwrap();
    let kept: String = whole.lines().take(4).map(|l| l.to_string() + "\n").collect();
    std::fs::write(&trainings, kept).unwrap();
    let jobs_before = jobs(&out.join("best"));
    std::fs::remove_dir_all(out.join("best")).unwrap();
    let result = graph(&["--resume", out.to_str().unwrap(), "--quiet"]);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(std::fs::read_to_string(&trainings).unwrap(), whole);
    assert_eq!(std::fs::read_to_string(out.join("search/search.csv")).unwrap(), log);
    assert_eq!(jobs(&out.join("best")), jobs_before);
    // What a search found can be given back as a configuration.
    let best = out.join("search/best.toml");
    let again = dir.path().join("again");
    let result = graph(&[
        "--data",
        "karate",
        "--config",
        best.to_str().unwrap(),
        "--quiet",
        "--out",
        again.to_str().unwrap(),
    ]);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert_eq!(jobs(&again), jobs(&out.join("best")));
}

#[test]
fn wrong_use_is_one_line_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("never");
    let refused = |args: &[&str], what: &str| {
        let mut all = args.to_vec();
        all.extend(["--out", out.to_str().unwrap()]);
        let result = graph(&all);
        let error = String::from_utf8_lossy(&result.stderr).into_owned();
        assert_eq!(result.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.trim().lines().count() == 1 && error.contains(what), "{args:?}: {error}");
        assert!(!out.exists(), "{args:?} left something behind");
    };
    refused(&["--data", "cora"], "METASTABLE_DATA");
    refused(&["--data", "karate", "--model", "grat"], "unknown model");
    refused(&["--data", "karate", "--kernel", "lag"], "lag");
    refused(&["--data", "karate", "--sigma", "power:0.5"], "power:M");
    refused(&["--data", "karate", "--split", "public"], "has no public split");
    refused(&["--data", "karate", "--split", "random"], "leaves no test nodes");
    refused(&["--data", "karate", "--set", "model.hidden=0"], "model.hidden = 0");
    refused(&["--data", "karate", "--set", "model.time=nan"], "must be a finite number");
    refused(&["--data", "karate", "--set", "model.hiden=3"], "did you mean");
    refused(&["--data", "karate", "--form", "paper", "--kernel", "sin"], "code");
    refused(&["--data", "no/such.npz"], "no such file");
    refused(&["--split", "public"], "has no public split");
}

#[test]
fn over_smoothing_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("grid");
    let run = |args: &[&str]| {
        let result = Command::new(env!("CARGO_BIN_EXE_oversmoothing")).args(args).output().unwrap();
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    };
    run(&["--quiet", "--out", out.to_str().unwrap()]);
    let text = std::fs::read_to_string(out.join("energy.csv")).unwrap();
    let end_over_start = |model: &str, column: usize| {
        let of = |layer: &str| {
            let line = text.lines().find(|l| l.starts_with(&format!("{model},{layer},"))).unwrap();
            line.split(',').nth(column).unwrap().parse::<f64>().unwrap()
        };
        of("1000") / of("0")
    };
    // GRADE keeps its energy, the others lose it: GCN and GAT in both normalisations, GRAND in the plain one
    // (its consensus is constant, which the energy by degrees counts as rough).
    assert!(
        (0.1..10.0).contains(&end_over_start("grade", 2))
            && (0.1..10.0).contains(&end_over_start("grade", 3))
    );
    assert!(end_over_start("gcn", 2) < 1e-6 && end_over_start("gat", 2) < 1e-6);
    assert!(
        end_over_start("gcn", 3) < 1e-6
            && end_over_start("gat", 3) < 1e-6
            && end_over_start("grand", 3) < 1e-6
    );
    assert!(out.join("energy.png").exists());
    let out = dir.path().join("depth");
    let out = out.to_str().unwrap();
    let trained = ["--data", "karate", "--models", "grade,gcn", "--depths", "2,16", "--quiet", "--out", out];
    run(&[&trained[..], &["--set", "train.epochs=20"]].concat());
    // All but the seconds of each training.
    let rows = || -> Vec<String> {
        let text = std::fs::read_to_string(format!("{out}/depth.csv")).unwrap();
        text.lines().map(|l| l.rsplit_once(',').unwrap().0.to_string()).collect()
    };
    let whole = rows();
    assert_eq!(whole.len(), 5);
    // As if it had been stopped after two of the four trainings.
    let text = std::fs::read_to_string(format!("{out}/depth.csv")).unwrap();
    let begun: String = text.lines().take(3).map(|l| format!("{l}\n")).collect();
    std::fs::write(format!("{out}/depth.csv"), begun).unwrap();
    run(&["--resume", out, "--quiet"]);
    assert_eq!(rows(), whole);
}
