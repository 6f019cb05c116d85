//! What `graph` says of nodes, and what a trained network says of new ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use experiments::datasets::encode;
use models::gnn::Dataset;
use models::gnn::data::synthetic::BlockModel;

use crate::binary;

const CLASSES: [&str; 3] = ["Theory", "Neural, deep", "\"Rule\" learning"];

fn graph(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_graph"), args)
}

/// A block model whose nodes and classes have names, and whose node 7 has no label.
fn papers(seed: u64) -> Dataset {
    let mut data =
        BlockModel { nodes: 90, classes: 3, degree: 6.0, homophily: 0.8, features: 8, signal: 2.0 }
            .draw(seed);
    data.node_names = (0..90).map(|i| format!("paper {seed}-{i}")).collect();
    data.class_names = CLASSES.map(String::from).to_vec();
    (data.unlabelled, data.labels[7]) = (vec![7], 0);
    for split in &mut data.splits {
        for part in [&mut split.train, &mut split.validation, &mut split.test] {
            part.retain(|i| *i != 7);
        }
    }
    data
}

fn save(dir: &Path, name: &str, data: &Dataset) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, encode(data).unwrap()).unwrap();
    path
}

/// A run on a file, of a GCN unless another network is named.
fn trained(dir: &Path, data: &Path, more: &[&str]) -> PathBuf {
    let out = dir.join("run");
    let model: &[&str] = if more.contains(&"--model") { &[] } else { &["--model", "gcn"] };
    let new = [model, &["--quick", "--quiet", "--force", "--data"]].concat();
    binary::succeed(graph(&new).arg(data).arg("--out").arg(&out).args(more));
    out
}

/// The rows of a table, by its columns.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn chances(row: &BTreeMap<String, String>) -> Vec<f64> {
    CLASSES.iter().map(|name| row[&format!("p_{name}")].parse().unwrap()).collect()
}

fn number(json: &str, key: &str) -> f64 {
    serde_json::from_str::<serde_json::Value>(json).unwrap()[key].as_f64().unwrap()
}

#[test]
fn predictions_of_every_split_have_names_parts_and_probabilities() {
    let dir = tempfile::tempdir().unwrap();
    let data = papers(1);
    let run = trained(dir.path(), &save(dir.path(), "papers.npz", &data), &[]);
    let mut confusion: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut figures = Vec::new();
    for (k, name) in ["predictions.csv", "predictions-1.csv"].into_iter().enumerate() {
        let rows = table(&run.join(name));
        assert_eq!(rows.len(), 90);
        let (mut right, mut count) = (0.0, 0.0);
        for (i, row) in rows.iter().enumerate() {
            let split = &data.splits[k];
            let parts = [("train", &split.train), ("validation", &split.validation), ("test", &split.test)];
            let part = parts.iter().find(|(_, part)| part.contains(&(i as u32)));
            assert_eq!(row["part"], part.map_or("none", |part| part.0));
            assert_eq!(row["node"], format!("paper 1-{i}"));
            assert_eq!(row["class"], if i == 7 { "" } else { CLASSES[data.labels[i] as usize] });
            let p = chances(row);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{row:?}");
            let top = (0..3).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
            assert_eq!(row["predicted"], CLASSES[top]);
            if row["part"] == "test" {
                *confusion.entry((row["class"].clone(), row["predicted"].clone())).or_default() += 1;
                count += 1.0;
                right += f64::from(u8::from(row["class"] == row["predicted"]));
            }
        }
        figures.push(right / count);
        let checkpoint = ["checkpoint.safetensors", "checkpoint-1.safetensors"][k];
        assert!(run.join(checkpoint).is_file());
    }
    for row in table(&run.join("confusion.csv")) {
        for name in CLASSES {
            let count = confusion.get(&(row["class"].clone(), name.into())).copied().unwrap_or(0);
            assert_eq!(row[name], count.to_string());
        }
    }
    let json = std::fs::read_to_string(run.join("metrics.json")).unwrap();
    assert!(json.contains("\"metric\": \"accuracy\"") && !json.contains("_accuracy"), "{json}");
    assert!((number(&json, "test") - (figures[0] + figures[1]) / 2.0).abs() < 1e-12);
    assert!((0.0..=1.0).contains(&number(&json, "macro_f1")) && number(&json, "validation") > 0.0);
    assert!((0.3..0.6).contains(&number(&json, "majority")), "{json}");
    // Of the first split alone, where that is asked for; --force removes the others.
    let run = trained(dir.path(), &dir.path().join("papers.npz"), &["--set", "data.keep=first"]);
    assert!(run.join("predictions.csv").is_file() && !run.join("predictions-1.csv").exists());
    assert!(run.join("checkpoint.safetensors").is_file() && !run.join("checkpoint-1.safetensors").exists());
}

#[test]
fn a_random_split_keeps_the_names_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut data = papers(2);
    // The first five nodes are cut off.
    data.edges.retain(|(u, v)| *u > 4 && *v > 4);
    let kept: Vec<String> = data.largest_component().iter().map(|i| format!("paper 2-{i}")).collect();
    assert!(kept.len() > 60 && kept[0] != "paper 2-0");
    let random = ["--split", "random", "--set", "data.development=50", "--set", "data.per_class=5"];
    let run = trained(dir.path(), &save(dir.path(), "papers.npz", &data), &random);
    let names: Vec<String> = table(&run.join("predictions.csv")).iter().map(|r| r["node"].clone()).collect();
    assert_eq!(names, kept);
    let states = std::fs::read(run.join("embeddings.npy")).unwrap();
    assert!(String::from_utf8_lossy(&states[..128]).contains(&format!("'shape': ({}, 64)", kept.len())));
}

#[test]
fn a_trained_network_says_the_same_of_the_same_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let file = save(dir.path(), "papers.npz", &papers(1));
    let run = trained(dir.path(), &file, &[]);
    let predict = |split: &str, out: &str| {
        let out = dir.path().join(out);
        let mut command = graph(&["--predict-split", split, "--predict"]);
        let said = binary::succeed(command.arg(&run).arg("--data").arg(&file).arg("--out").arg(&out));
        (table(&out), binary::stdout(&said))
    };
    let known = ["predictions.csv", "predictions-1.csv"].map(|name| table(&run.join(name)));
    for (k, known) in known.iter().enumerate() {
        let (rows, said) = predict(&k.to_string(), &format!("own-{k}.csv"));
        let without_part = known.iter().cloned().map(|mut row| {
            row.remove("part");
            row
        });
        assert_eq!(rows, without_part.collect::<Vec<_>>());
        assert!(said.starts_with("papers: 90 nodes, 89 of them labelled: accuracy "), "{said}");
    }
    let (rows, _) = predict("all", "all.csv");
    for (i, row) in rows.iter().enumerate() {
        let [a, b] = [&known[0][i], &known[1][i]].map(chances);
        let mean = a.iter().zip(&b).map(|(a, b)| 0.5 * (a + b));
        assert!(chances(row).iter().zip(mean).all(|(p, m)| (p - m).abs() < 1e-6), "{row:?}");
    }
    // Half of the nodes, scaled as all of them were.
    let run = trained(dir.path(), &file, &["--set", "data.scale=standard", "--model", "mlp"]);
    let half = save(dir.path(), "half.npz", &papers(1).restrict(&(40..90).collect::<Vec<_>>()));
    let out = dir.path().join("half.csv");
    binary::succeed(graph(&["--predict"]).arg(&run).arg("--data").arg(&half).arg("--out").arg(&out));
    let known = table(&run.join("predictions.csv"));
    for (row, known) in table(&out).iter().zip(&known[40..]) {
        assert_eq!(row["node"], known["node"]);
        let pairs = chances(row).into_iter().zip(chances(known));
        pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{row:?} {known:?}"));
    }
    // Without --out the table is in the run's folder, and written again there.
    for _ in 0..2 {
        binary::succeed(graph(&["--quiet", "--predict"]).arg(&run).arg("--data").arg(&file));
        assert_eq!(table(&run.join("predicted-papers.csv")).len(), 90);
    }
}

#[test]
fn new_nodes_are_predicted_by_a_network_that_fits_them() {
    let dir = tempfile::tempdir().unwrap();
    let run = trained(dir.path(), &save(dir.path(), "papers.npz", &papers(1)), &["--set", "train.epochs=60"]);
    let on = |data: &Dataset| {
        let mut command = graph(&["--predict"]);
        command.arg(&run).arg("--data").arg(save(dir.path(), "new.npz", data));
        command
    };
    let refused = |change: &dyn Fn(&mut Dataset), line: &str| {
        let mut data = papers(1);
        change(&mut data);
        binary::refused(&mut on(&data), line);
    };
    // Half of the graph: other nodes, fewer edges.
    let half = papers(1).restrict(&(40..90).collect::<Vec<_>>());
    let known = on(&half);
    let accuracy = |mut command: Command| -> f64 {
        let said = binary::stdout(&binary::succeed(&mut command));
        let figure = said.split("accuracy ").nth(1).unwrap_or_else(|| panic!("{said}"));
        figure.split(" %").next().unwrap().parse().unwrap()
    };
    let figure = accuracy(known);
    assert!(figure > 70.0, "{figure}");
    // Classes in another order are the same classes.
    let mut other = half.clone();
    other.class_names.swap(0, 2);
    other.labels.iter_mut().for_each(|label| *label = 2 - *label);
    assert_eq!(accuracy(on(&other)), figure);
    // Not every class need be among the new nodes, and its number there is not its number in the run.
    let mut fewer = half.clone();
    let gone: Vec<u32> = (0..50).filter(|i| fewer.labels[*i as usize] == 0).collect();
    fewer.labels.iter_mut().for_each(|label| *label = label.saturating_sub(1));
    fewer.class_names.remove(0);
    (fewer.classes, fewer.unlabelled) = (2, gone);
    assert!(accuracy(on(&fewer)) > 70.0);
    let mut bare = half.clone();
    bare.unlabelled = (0..50).collect();
    let said = binary::stdout(&binary::succeed(&mut on(&bare)));
    assert!(said.starts_with("new: 50 nodes without labels\n"), "{said}");

    refused(
        &|d| d.features = models::gnn::FeatureMatrix::from_rows(90, 2, vec![0.5; 180]),
        "data set new: has 2 features a node; the run was trained on 8",
    );
    refused(
        &|d| {
            d.class_names.clear();
            d.labels.iter_mut().for_each(|label| *label = (*label).min(1));
            d.classes = 2;
        },
        "data set new: has a class 0; the run was trained on Theory, Neural, deep",
    );
    refused(
        &|d| d.class_names[1] = "Agents".into(),
        "data set new: has a class Agents; the run was trained on Theory, Neural, deep",
    );
    refused(
        &|d| d.edge_weights = vec![2.0; d.edges.len()],
        "data set new: has weights of edges; the run was trained without them: import it with --ignore-weights",
    );
    let at = run.display();
    binary::refused(
        on(&half).args(["--predict-split", "2"]),
        &format!("{at}: has no checkpoint of split 2; there are those of splits 0 to 1"),
    );
    binary::refused(on(&half).args(["--predict-split", "some"]), "wants the number of a split, or all");
    binary::refused(on(&half).arg("--out").arg(&run), "is there already; choose another --out");
    binary::refused(on(&half).args(["--seed", "1"]), "cannot be used with");
    binary::refused(graph(&["--predict"]).arg(&run), "--data");
    for name in ["checkpoint.safetensors", "checkpoint-1.safetensors"] {
        std::fs::remove_file(run.join(name)).unwrap();
    }
    let none = format!("{at}: has no checkpoint yet; first run: graph --resume {at}");
    binary::refused(&mut on(&half), &none);
    binary::refused(on(&half).args(["--predict-split", "all"]), &none);
}

#[test]
fn weights_of_edges_are_used_ignored_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plain = papers(3);
    let mut weighted = plain.clone();
    let weight = |(u, v): &(u32, u32)| 0.25 + f64::from((u + v) % 7) as f32;
    weighted.edge_weights = weighted.edges.iter().map(weight).collect();
    let plain = save(dir.path(), "plain.npz", &plain);
    let weighted = save(dir.path(), "weighted.npz", &weighted);
    let jobs = |data: &Path, more: &[&str]| {
        let run = trained(dir.path(), data, more);
        let text = std::fs::read_to_string(run.join("jobs.csv")).unwrap();
        text.lines().map(|l| l.rsplit_once(',').unwrap().0.to_string()).collect::<Vec<_>>()
    };
    let ignore = ["--set", "data.weights=ignore"];
    assert_eq!(jobs(&weighted, &ignore), jobs(&plain, &[]));
    let states = |data: &Path| {
        let run = trained(dir.path(), data, &[]);
        std::fs::read(run.join("embeddings.npy")).unwrap()
    };
    assert_ne!(states(&weighted), states(&plain));
    let gat = |more: &[&str]| {
        let mut command = graph(&["--model", "gat", "--quick", "--quiet", "--data"]);
        command.arg(&weighted).args(more).arg("--out").arg(dir.path().join("gat"));
        command
    };
    let line = "model.name = gat: attention has no place for the weights that edges of weighted have; set data.weights=ignore, or do without attention";
    binary::refused(&mut gat(&[]), line);
    binary::refused(&mut gat(&["--search", "2"]), line);
    assert!(!dir.path().join("gat").exists());
    binary::succeed(&mut gat(&ignore));
}

/// Where addresses are limited, to less than what machines have, a graph whose pairs at distance two do not fit is refused, not begun.
#[cfg(target_os = "linux")]
#[test]
fn a_star_is_refused_where_its_pairs_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let leaves = 10_000;
    let edges: Vec<(u32, u32)> = (1..=leaves).map(|i| (0, i)).collect();
    let n = leaves as usize + 1;
    let labels = (0..n).map(|i| (i % 2) as u32).collect();
    let mut data = models::gnn::data::synthetic::from_edges("star", n, &edges, labels, 2);
    data.features = models::gnn::FeatureMatrix::from_rows(n, 1, vec![1.0; n]);
    let part = |first: u32| (first..first + 10).collect::<Vec<u32>>();
    data.splits = vec![models::gnn::Split { train: part(0), validation: part(10), test: part(20) }];
    let file = save(dir.path(), "star.npz", &data);
    let mut command = binary::command("sh", &["-c"]);
    let line = format!(
        "ulimit -v 6000000 && exec {} --data {} --model h2gcn --quick --threads 1 --quiet --out {}",
        env!("CARGO_BIN_EXE_graph"),
        file.display(),
        dir.path().join("run").display()
    );
    binary::refused(
        command.arg(line),
        "h2gcn with up to 99990000 pairs of nodes at distance two: about 7.1 GiB",
    );
}
