//! The binary `graph` as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

use crate::binary::{self, stderr, stdout};

fn graph(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_graph"), args)
}

fn done(args: &[&str]) -> Output {
    binary::succeed(&mut graph(args))
}

/// What a command that is refused says.
fn wrong(args: &[&str]) -> String {
    binary::refusal(&mut graph(args))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Keeps the first lines of a file, as if the run had been stopped after them.
fn cut(file: &Path, lines: usize) {
    let kept: String = read(file).lines().take(lines).map(|l| format!("{l}\n")).collect();
    std::fs::write(file, kept).unwrap();
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
        let new = ["--data", "karate", "--set", "train.epochs=30", "--quiet", "--threads", threads, "--out"];
        done(&[&new[..], &[out.to_str().unwrap()]].concat());
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
    cut(&two.join("jobs.csv"), 5);
    std::fs::remove_file(two.join("metrics.json")).unwrap();
    done(&["--resume", two.to_str().unwrap(), "--quiet"]);
    assert_eq!(jobs(&one), jobs(&two));
    assert!(two.join("metrics.json").exists());
}

#[test]
fn a_batch_is_resumed_from_its_folder_and_one_failure_does_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("both");
    let path = out.to_str().unwrap();
    done(&["--quick", "--quiet", "--no-ablation", "--out", path]);
    let whole = ["karate", "csbm"].map(|name| jobs(&out.join(name)));
    // As if it had been stopped in the first of the two.
    cut(&out.join("karate/jobs.csv"), 2);
    std::fs::remove_dir_all(out.join("csbm")).unwrap();
    let result = done(&["--resume", path]);
    assert_eq!(["karate", "csbm"].map(|name| jobs(&out.join(name))), whole);
    let table = stdout(&result);
    assert!(table.contains("karate ") && table.contains("csbm "), "{table}");
    // With --force nothing of the earlier batch counts as done, even where the new one stops before it.
    wrong(&["--quick", "--quiet", "--no-ablation", "--force", "--set", "model.hidden=0", "--out", path]);
    assert_eq!(
        ["karate", "csbm"].map(|name| jobs(&out.join(name))),
        whole,
        "a refused command removes nothing"
    );
    let forced = ["--quick", "--quiet", "--no-ablation", "--force", "--set", "data.splits=1", "--out", path];
    done(&forced);
    assert_eq!(["karate", "csbm"].map(|name| jobs(&out.join(name)).lines().count()), [2, 2]);
    // The karate club has no 1500 nodes to choose development nodes from; the block model, of 500, has 100.
    let path = dir.path().join("one");
    let args = ["--quick", "--split", "random", "--set", "data.development=100", "--no-ablation", "--out"];
    let result = graph(&[&args[..], &[path.to_str().unwrap()]].concat()).output().unwrap();
    assert_eq!(result.status.code(), Some(2));
    assert!(stderr(&result).contains("karate"));
    assert!(stdout(&result).contains("csbm "));
    assert!(path.join("csbm/metrics.json").exists() && !path.join("karate").exists());
}

/// `results/latest` is a link that the run itself moves: to the folder that is resumed as a whole.
#[cfg(unix)]
#[test]
fn the_latest_run_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let command = |args: &[&str]| {
        let mut command = graph(args);
        command.arg("--quiet").current_dir(dir.path());
        command
    };
    let run = |args: &[&str]| drop(binary::succeed(&mut command(args)));
    let latest = dir.path().join("results/latest");
    let link = || std::fs::read_link(&latest).unwrap();
    run(&["--quick", "--no-ablation"]);
    let batch = link();
    std::fs::remove_dir_all(latest.join("csbm")).unwrap();
    run(&["--resume", "results/latest"]);
    assert!(latest.join("csbm/metrics.json").exists());
    assert_eq!(link(), batch);

    let new = |out: &str, more: &[&str]| {
        let out = format!("results/graph/{out}");
        let args = ["--data", "karate", "--quick", "--no-ablation", "--out", out.as_str()];
        run(&[&args[..], more].concat());
    };
    new("search", &["--search", "4"]);
    assert_eq!(link(), Path::new("graph/search"));
    std::fs::remove_dir_all(latest.join("best")).unwrap();
    run(&["--resume", "results/latest"]);
    assert!(dir.path().join("results/graph/search/best/metrics.json").exists());
    assert_eq!(link(), Path::new("graph/search"));

    new("one", &[]);
    new("two", &[]);
    assert_eq!(link(), Path::new("graph/two"));
    run(&["--resume", "results/graph/one"]);
    assert_eq!(link(), Path::new("graph/one"));

    // Interrupted in its first task, a batch is still the latest.
    let long = ["--set", "train.epochs=1000000", "--stop-after", "3", "--out", "results/graph/long"];
    let output = command(&long).output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", binary::stderr(&output));
    assert!(dir.path().join("results/graph/long/karate/config.toml").exists());
    assert_eq!(link(), Path::new("graph/long"));
}

#[test]
fn without_ablation_stays_without() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let new = ["--data", "karate", "--quick", "--quiet", "--no-ablation", "--out"];
    let only_nan = |dir: &Path| {
        let text = jobs(dir);
        assert!(text.lines().count() == 3 && text.lines().skip(1).all(|l| l.ends_with(",NaN")), "{text}");
    };
    let path = out.to_str().unwrap();
    done(&[&new[..], &[path]].concat());
    let whole = jobs(&out);
    cut(&out.join("jobs.csv"), 2);
    assert!(wrong(&["--resume", path, "--no-ablation"]).contains("--no-ablation"));
    done(&["--resume", path, "--quiet"]);
    assert_eq!(jobs(&out), whole);
    only_nan(&out);
    let search = dir.path().join("search");
    let path = search.to_str().unwrap();
    done(&[&new[..], &[path, "--search", "2"]].concat());
    std::fs::remove_dir_all(search.join("best")).unwrap();
    done(&["--resume", path, "--quiet"]);
    only_nan(&search.join("best"));
}

#[test]
fn the_later_of_preset_file_setting_and_flag_wins() {
    let dir = tempfile::tempdir().unwrap();
    let configured = |name: &str, args: &[&str]| {
        let out = dir.path().join(name);
        done(
            &[args, &["--data", "karate", "--quiet", "--no-ablation", "--out", out.to_str().unwrap()]]
                .concat(),
        );
        read(out.join("config.toml"))
    };
    let file = dir.path().join("gcn.toml");
    std::fs::write(&file, "[model]\nname = \"gcn\"\n[train]\nepochs = 3\n[data]\nsplits = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let gcn = configured("flag", &["--quick", "--model", "gcn"]);
    assert!(
        gcn.contains("name = \"gcn\"") && gcn.contains("epochs = 20\n") && gcn.contains("splits = 2\n"),
        "{gcn}"
    );
    // Whoever names the network, its own preset is meant; a quick run is quick whatever the file says.
    assert_eq!(configured("set", &["--quick", "--set", "model.name=gcn"]), gcn);
    assert_eq!(configured("file", &["--quick", "--config", file]), gcn);
    assert_eq!(
        configured("both", &["--quick", "--config", file, "--model", "mlp"]),
        configured("mlp", &["--quick", "--model", "mlp"])
    );
    let slow = configured("slow", &["--config", file, "--set", "data.splits=1"]);
    assert!(slow.contains("epochs = 3\n") && slow.contains("splits = 1\n"), "{slow}");
    let out = dir.path().join("flag");
    assert!(wrong(&["--resume", out.to_str().unwrap(), "--model", "mlp"]).contains("--model"));
}

#[test]
fn a_refused_command_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [both, one, full] = ["both", "one", "full"].map(|name| dir.path().join(name));
    done(&["--quick", "--quiet", "--no-ablation", "--out", both.to_str().unwrap()]);
    done(&["--data", "karate", "--quick", "--quiet", "--no-ablation", "--out", one.to_str().unwrap()]);
    let whole = || [both.join("karate"), both.join("csbm"), one.clone()].map(|dir| jobs(&dir));
    let before = whole();
    let force =
        |out: &Path, args: &[&str]| wrong(&[args, &["--force", "--out", out.to_str().unwrap()]].concat());
    assert!(force(&both, &["--split", "public"]).contains("has no public split"));
    assert!(force(&both, &["--search", "4", "--split", "public"]).contains("has no public split"));
    assert!(
        force(&one, &["--data", "karate", "--search", "4", "--split", "public"]).contains("no public split")
    );
    assert_eq!(whole(), before);
    assert!(both.join("batch.toml").exists() && one.join("config.toml").exists());
    // A search, too, wants an empty folder or --force.
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("notes.txt"), "mine").unwrap();
    let search = ["--data", "karate", "--quick", "--quiet", "--search", "2", "--out", full.to_str().unwrap()];
    assert!(wrong(&search).contains("is not empty"));
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1);
}

#[test]
fn damaged_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (run, search) = (dir.path().join("run"), dir.path().join("searched"));
    let resume = |path: &Path| wrong(&["--resume", path.to_str().unwrap()]);
    done(&["--data", "karate", "--quick", "--quiet", "--out", run.to_str().unwrap()]);
    let file = run.join("jobs.csv");
    std::fs::write(&file, read(&file).lines().next().unwrap().to_string() + "\n0,0,1,20,0.5,7,0.5,0.5,1\n")
        .unwrap();
    assert!(resume(&run).contains("jobs.csv: line 2 is damaged"));

    done(&["--data", "karate", "--quick", "--quiet", "--search", "2", "--out", search.to_str().unwrap()]);
    let part = search.join("search");
    let error = resume(&part);
    assert!(
        error.contains(&format!("resume with: graph --resume {}", search.canonicalize().unwrap().display())),
        "{error}"
    );
    assert!(!part.join("jobs.csv").exists());
    std::fs::remove_dir_all(search.join("best")).unwrap();
    let file = part.join("trainings.csv");
    let whole = read(&file);
    std::fs::write(&file, whole.clone() + "1,0,2,nan\n").unwrap();
    assert!(resume(&search).contains("trainings.csv: line "));
    std::fs::write(&file, whole).unwrap();
    let plan = part.join("plan.toml");
    std::fs::write(&plan, read(&plan).replace("trials = 2", "trials = 0")).unwrap();
    assert!(resume(&search).contains("plan.toml: trials = 0, but the run began with 2"));
    assert!(!search.join("best").exists());
}

#[test]
fn every_model_trains_and_a_search_writes_its_log() {
    let dir = tempfile::tempdir().unwrap();
    for model in models::gnn::Network::NAMES {
        let out = dir.path().join(model);
        let new = ["--data", "csbm", "--model", model, "--quick", "--quiet", "--no-ablation", "--out"];
        done(&[&new[..], &[out.to_str().unwrap()]].concat());
    }
    let out = dir.path().join("search");
    done(&["--data", "karate", "--quick", "--search", "4", "--quiet", "--out", out.to_str().unwrap()]);
    let log = read(out.join("search/search.csv"));
    // Four trials in round 1, the best of them in round 2, and that one again in round 3.
    assert_eq!(log.lines().count(), 1 + 4 + 1 + 1);
    assert!(!log.contains("test"), "the search does not look at test figures");
    // Interrupted after a few trainings, as by kill -9: resuming finds the same.
    let trainings = out.join("search/trainings.csv");
    let whole = read(&trainings);
    cut(&trainings, 4);
    let jobs_before = jobs(&out.join("best"));
    std::fs::remove_dir_all(out.join("best")).unwrap();
    done(&["--resume", out.to_str().unwrap(), "--quiet"]);
    assert_eq!(read(&trainings), whole);
    assert_eq!(read(out.join("search/search.csv")), log);
    assert_eq!(jobs(&out.join("best")), jobs_before);
    // What a search found can be given back as a configuration.
    let best = out.join("search/best.toml");
    let again = dir.path().join("again");
    let (best, path) = (best.to_str().unwrap(), again.to_str().unwrap());
    done(&["--data", "karate", "--config", best, "--quiet", "--out", path]);
    assert_eq!(jobs(&again), jobs(&out.join("best")));
}

#[test]
fn training_in_parts_gives_the_same_bits_for_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let run = |threads: &str| {
        let out = dir.path().join(threads);
        let parts = ["--set", "train.parts=4", "--set", "train.parts_per_step=2", "--set", "train.epochs=6"];
        let new =
            ["--data", "csbm-3000-6", "--set", "data.splits=1", "--quiet", "--threads", threads, "--out"];
        done(&[&new[..], &[out.to_str().unwrap()], &parts].concat());
        let predictions = read(out.join("predictions.csv"));
        (jobs(&out), predictions)
    };
    let one = run("1");
    assert!(one == run("2") && one == run("3"));
}

#[test]
fn a_nested_search_knows_each_split_by_itself_and_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let out = dir.path().join(name);
        let new = ["--data", "karate", "--quick", "--search", "2", "--quiet", "--threads", "1", "--out"];
        let output = graph(&[&new[..], &[out.to_str().unwrap()], more].concat()).output().unwrap();
        (out, output.status.code())
    };
    let (nested, code) = run("nested", &["--nested", "--set", "data.first=3"]);
    assert_eq!(code, Some(0));
    let per_split = |dir: &Path| -> Vec<f64> {
        let text = read(dir.join("metrics.json"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["per_split"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    // Split 4 is searched as if there were no other.
    let (alone, _) = run("alone", &["--set", "data.first=4", "--set", "data.splits=1"]);
    let part = nested.join("split-4");
    assert_eq!(read(part.join("search/trainings.csv")), read(alone.join("search/trainings.csv")));
    assert_eq!(jobs(&part.join("best")), jobs(&alone.join("best")));
    assert_eq!(per_split(&nested)[1], per_split(&alone.join("best"))[0]);
    assert_eq!(per_split(&nested).len(), 2);
    let (stopped, code) = run("stopped", &["--nested", "--set", "data.first=3", "--stop-after", "150"]);
    assert_eq!(code, Some(130));
    assert!(!stopped.join("metrics.json").exists());
    done(&["--resume", stopped.to_str().unwrap(), "--quiet"]);
    assert_eq!(per_split(&stopped), per_split(&nested));
    assert!(wrong(&["--search", "2", "--nested"]).contains("--nested: name one data set with --data"));
    assert!(wrong(&["--data", "karate", "--nested"]).contains("--search"));
}

#[test]
fn wrong_use_is_one_line_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("never");
    let refused = |args: &[&str], what: &str| {
        let error = wrong(&[args, &["--out", out.to_str().unwrap()]].concat());
        assert!(error.contains(what), "{args:?}: {error}");
        assert!(!out.exists(), "{args:?} left something behind");
    };
    refused(&["--data", "cora"], "METASTABLE_DATA");
    refused(&["--data", "karate", "--model", "grat"], "unknown model");
    refused(&["--data", "karate", "--kernel", "lag"], "lag");
    refused(
        &["--data", "karate", "--model", "gcn", "--set", "model.kernel=gauss"],
        "unknown key `model.kernel`",
    );
    refused(&["--data", "karate", "--sigma", "power:0.5"], "power:M");
    refused(&["--data", "karate", "--split", "public"], "has no public split");
    refused(&["--data", "karate", "--split", "random"], "leaves no test nodes");
    refused(&["--data", "karate", "--set", "model.hidden=0"], "model.hidden = 0");
    refused(&["--data", "karate", "--set", "model.time=nan"], "must be a finite number");
    refused(&["--data", "karate", "--set", "model.hiden=3"], "did you mean");
    refused(&["--data", "karate", "--form", "paper", "--kernel", "sin"], "code");
    refused(&["--data", "no/such.npz"], "no such file");
    refused(&["--split", "public"], "has no public split");
    refused(&["--data", "karate", "--search", "4", "--split", "public"], "has no public split");
    let small = ["--data", "csbm", "--search", "2", "--split", "random", "--set", "data.development=8"];
    refused(&small, "the validation part is empty");
    refused(&["--data", "karate", "--set", "model.step=1e-300"], "model.step = 1e-300");
    refused(&["--data", "karate", "--set", "data.splits=100000000"], "data.splits = 100000000");
    refused(&["--data", "karate", "--set", "data.first=10"], "data.first = 10 passes over all 10 splits");
    refused(&["--data", "karate", "--search", "1000000000000"], "--search");
    refused(&["--data", "karate", "--seeds", "100000000"], "--seeds");
    refused(&["--data", "karate", "--seeds", "0"], "--seeds");
}

#[test]
fn over_smoothing_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("grid");
    let run = |args: &[&str]| {
        drop(binary::succeed(&mut binary::command(env!("CARGO_BIN_EXE_oversmoothing"), args)));
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
