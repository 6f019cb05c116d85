//! What graph data there are, what they hold, whether they are sound; importing and fetching them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engine::checkpoint::write_atomic;
use experiments::cli::parse;
use experiments::failure::{Failure, run};
use experiments::graph_data::known::Known;
use experiments::graph_data::{BUILT_IN, KNOWN, available, decode_bytes, encode, file, folder, import, load};
use experiments::table::plain;
use models::graph::Dataset;
use models::graph::check::check;
use models::graph::homophily::homophily;
use sha2::{Digest, Sha256};

/// Graph data sets: list them, describe them, check them, import and fetch them.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  data list --data-dir DIR\n  data info karate\n  data check all --data-dir DIR\n  data import csv --edges e.csv --features x.csv --labels y.csv --out mine.npz\n  data import geom-gcn --from new_data/texas --splits splits/texas_*.npz --out texas.npz\n  data fetch texas --out sources"
)]
struct Args {
    /// Folder with NAME.npz files (default: what METASTABLE_DATA names).
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Names of the data sets that are there, and of those that are known.
    List,
    /// Nodes, edges, features, classes, homophily, components, splits.
    Info {
        /// A name, or the path of an npz.
        name: String,
    },
    /// Whether it is sound, and whether a known one is what it should be.
    Check {
        /// A name, the path of an npz, or `all`.
        name: String,
    },
    /// Turns other programs' files into an npz that `graph` reads.
    Import {
        #[command(subcommand)]
        format: Format,
    },
    /// Downloads a known data set's source, or says how to.
    Fetch {
        /// The name.
        name: String,
        /// Folder to put it in.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
enum Format {
    /// A folder with out1_node_feature_label.txt and out1_graph_edges.txt.
    GeomGcn {
        /// The folder.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Files with train_mask, val_mask, test_mask, one for each split.
        #[arg(long, num_args = 1.., value_name = "FILES")]
        splits: Vec<PathBuf>,
        /// The number of features, where lines list the indices of features that are set (film: 932).
        #[arg(long, value_name = "N")]
        listed: Option<usize>,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// NAME.content and NAME.cites.
    Linqs {
        /// The content file.
        #[arg(long, value_name = "FILE")]
        content: PathBuf,
        /// The cites file.
        #[arg(long, value_name = "FILE")]
        cites: PathBuf,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The CSR archives of Shchur et al.
    Shchur {
        /// The npz to read.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// An edge list, features and labels of your own.
    Csv {
        /// Two node numbers in each line.
        #[arg(long, value_name = "FILE")]
        edges: PathBuf,
        /// One line of numbers for each node.
        #[arg(long, value_name = "FILE")]
        features: PathBuf,
        /// One class for each node, a number or a name.
        #[arg(long, value_name = "FILE")]
        labels: PathBuf,
        /// The npz to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = parse::<Args>();
    run(|| {
        let dir = args.data_dir.as_deref();
        match &args.command {
            Command::List => list(dir),
            Command::Info { name } => info(&load(name, dir)?),
            Command::Check { name } if name == "all" => check_all(dir),
            Command::Check { name } => match check_one(name, dir)? {
                true => Ok(()),
                false => Err(Failure::Failed(format!("data set {name} is not what it should be"))),
            },
            Command::Import { format } => import_from(format),
            Command::Fetch { name, out } => fetch(name, out),
        }
    })
}

fn list(dir: Option<&Path>) -> Result<(), Failure> {
    let folder = folder(dir);
    let there = folder.as_deref().map(available).transpose()?.unwrap_or_default();
    let mut rows: Vec<Vec<String>> =
        BUILT_IN.iter().map(|n| vec![n.to_string(), "built in".into()]).collect();
    rows.extend(there.iter().map(|n| vec![n.clone(), "there".into()]));
    let missing = KNOWN.iter().filter(|k| !there.iter().any(|n| n == k.name));
    rows.extend(missing.map(|k| vec![k.name.into(), format!("not there; data fetch {}", k.name)]));
    print!("{}", plain(&["data set", "state"], &rows));
    if folder.is_none() {
        println!("no data folder is set: give --data-dir DIR or set METASTABLE_DATA");
    }
    Ok(())
}

fn info(data: &Dataset) -> Result<(), Failure> {
    let h = homophily(data);
    let (component, count) = data.components();
    let mut sizes = vec![0_usize; count];
    component.iter().for_each(|c| sizes[*c] += 1);
    let isolated = data.degrees().iter().filter(|d| **d == 0).count();
    let splits = match (data.splits.first(), &data.public) {
        (Some(s), public) => {
            let (a, b, c) = (s.train.len(), s.validation.len(), s.test.len());
            format!(
                "{} ({a} / {b} / {c}){}",
                data.splits.len(),
                if public.is_some() { " and the public one" } else { "" }
            )
        }
        (None, _) => "none".into(),
    };
    let row = |name: &str, value: String| vec![name.to_string(), value];
    let rows = [
        row("nodes", data.nodes().to_string()),
        row("undirected edges", (data.edges.len() / 2).to_string()),
        row("features", data.features.cols().to_string()),
        row("features set", data.features.nnz().to_string()),
        row("classes", data.classes.to_string()),
        row("edge homophily", format!("{:.4}", h.edge)),
        row("node homophily", format!("{:.4}", h.node)),
        row("adjusted homophily", format!("{:.4}", h.adjusted)),
        row("class-insensitive homophily", format!("{:.4}", h.class_insensitive)),
        row("components", format!("{count} (largest {})", sizes.iter().max().unwrap_or(&0))),
        row("isolated nodes", isolated.to_string()),
        row("splits (training / validation / test)", splits),
    ];
    print!("{}", plain(&[&data.name, ""], &rows));
    Ok(())
}

/// Checks what is in the data folder, and what needs no file.
fn check_all(dir: Option<&Path>) -> Result<(), Failure> {
    let Some(folder) = folder(dir) else {
        return Err(Failure::usage("check all: give --data-dir DIR or set METASTABLE_DATA"));
    };
    let there = available(&folder)?;
    if there.is_empty() {
        return Err(Failure::usage(format!("{}: holds no data set", folder.display())));
    }
    let sound = |name: &String| {
        check_one(name, Some(&folder)).unwrap_or_else(|e| {
            println!("{name}: WRONG: {e}");
            false
        })
    };
    match there.into_iter().chain(BUILT_IN.map(String::from)).filter(|name| !sound(name)).count() {
        0 => Ok(()),
        bad => Err(Failure::Failed(format!("{bad} data sets are not sound"))),
    }
}

/// Prints what is found; false if something is wrong, an error if it cannot be read.
fn check_one(name: &str, dir: Option<&Path>) -> Result<bool, Failure> {
    let data = load(name, dir)?;
    let mut sound = true;
    let mut notes: Vec<String> = check(&data).into_iter().map(|f| f.what).collect();
    if let Some(known) = KNOWN.iter().find(|k| k.name == name) {
        for (what, got, want) in counts(&data, known) {
            if got != want {
                sound = false;
                notes.push(format!("WRONG: {got} {what}, {want} are known"));
            }
        }
        if let Some(path) = folder(dir).and_then(|d| file(&d, name)) {
            let bytes = std::fs::read(&path).map_err(|e| Failure::io(&path, &e))?;
            let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            // Another file may hold the same data: the counts decide.
            if sum != known.sha256 {
                notes.push(format!("another file than the known one (sha256 {})", &sum[..16]));
            }
        }
        if name == "cornell" {
            notes.push(
                "its features and labels are those of Texas, in every copy of this source; see cornell_fixed"
                    .into(),
            );
        }
    }
    let notes = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
    println!("{name}: {}{notes}", if sound { "sound" } else { "not sound" });
    Ok(sound)
}

fn counts(data: &Dataset, known: &Known) -> [(&'static str, usize, usize); 4] {
    [
        ("nodes", data.nodes(), known.nodes),
        ("undirected edges", data.edges.len() / 2, known.edges),
        ("features", data.features.cols(), known.features),
        ("classes", data.classes, known.classes),
    ]
}

fn import_from(format: &Format) -> Result<(), Failure> {
    let (inputs, out) = match format {
        Format::GeomGcn { from, splits, out, .. } => {
            (import::geom_gcn_files(from).into_iter().chain(splits.iter().cloned()).collect(), out)
        }
        Format::Linqs { content, cites, out } => (vec![content.clone(), cites.clone()], out),
        Format::Shchur { from, out } => (vec![from.clone()], out),
        Format::Csv { edges, features, labels, out } => {
            (vec![features.clone(), edges.clone(), labels.clone()], out)
        }
    };
    let real = |path: &Path| path.canonicalize().ok();
    if real(out).is_some_and(|out| inputs.iter().any(|input| real(input).as_ref() == Some(&out))) {
        return Err(Failure::usage(format!("--out {}: is one of the files to import", out.display())));
    }
    let name = out.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let data = match format {
        Format::GeomGcn { from, splits, listed, .. } => {
            let mut data = import::geom_gcn(from, &name, *listed)?;
            import::add_splits(&mut data, splits)?;
            data
        }
        Format::Linqs { content, cites, .. } => import::linqs(content, cites, &name)?,
        Format::Shchur { from, .. } => import::shchur(from, &name)?,
        Format::Csv { edges, features, labels, .. } => import::csv(edges, features, labels, &name)?,
    };
    let source = &inputs[0];
    if let Some(finding) = check(&data).into_iter().find(|f| f.fatal) {
        return Err(Failure::usage(format!("{}: {}", source.display(), finding.what)));
    }
    let bytes = encode(&data)?;
    // What is written can be read: better to learn it before there is a file.
    decode_bytes(source, bytes.clone())?;
    write_atomic(out, &bytes).map_err(|e| Failure::io(out, &e))?;
    println!(
        "{}: {} nodes, {} undirected edges, {} classes",
        out.display(),
        data.nodes(),
        data.edges.len() / 2,
        data.classes
    );
    Ok(())
}

/// Files of the sources that lie under stable addresses, and what to do with them.
fn fetch(name: &str, out: &Path) -> Result<(), Failure> {
    let Some(known) = KNOWN.iter().find(|k| k.name == name) else {
        let names: Vec<&str> = KNOWN.iter().map(|k| k.name).collect();
        return Err(Failure::usage(format!("data set {name} is not known; known are {}", names.join(", "))));
    };
    let geom = "https://raw.githubusercontent.com/graphdml-uiuc-jlu/geom-gcn/f1fc0d14b3b019c562737240d06ec83b07d16a8f";
    let yandex = "https://raw.githubusercontent.com/yandex-research/heterophilous-graphs/a4313955/data";
    let (files, next): (Vec<String>, String) = match name {
        "texas" | "wisconsin" | "cornell" | "film" | "chameleon" | "squirrel" => {
            let list = ["out1_node_feature_label.txt", "out1_graph_edges.txt"];
            let splits = (0..10).map(|k| format!("{geom}/splits/{name}_split_0.6_0.2_{k}.npz"));
            let listed = if name == "film" { " --listed 932" } else { "" };
            let from = out.display();
            let next = format!(
                "data import geom-gcn --from {from}{listed} --splits {from}/{name}_split_*.npz --out {name}.npz"
            );
            (list.iter().map(|f| format!("{geom}/new_data/{name}/{f}")).chain(splits).collect(), next)
        }
        "coauthor_cs" | "amazon_photo" => {
            let source = if name == "coauthor_cs" { "ms_academic_cs" } else { "amazon_electronics_photo" };
            let address = format!(
                "https://raw.githubusercontent.com/shchur/gnn-benchmark/master/data/npz/{source}.npz"
            );
            let from = out.join(format!("{source}.npz"));
            (vec![address], format!("data import shchur --from {} --out {name}.npz", from.display()))
        }
        "minesweeper" | "cornell_fixed" | "chameleon_filtered" | "squirrel_filtered" => {
            let file = name.replace("_fixed", "");
            (
                vec![format!("{yandex}/{file}.npz")],
                format!(
                    "its arrays are node_features, node_labels, edges, train_masks; see {}",
                    known.origin
                ),
            )
        }
        _ => (Vec::new(), String::new()),
    };
    if files.is_empty() {
        return Err(Failure::Failed(format!(
            "{name}: its source is in Python's pickle format, which this program does not read; get it from {}, save it as text, and run: data import csv",
            known.origin
        )));
    }
    std::fs::create_dir_all(out).map_err(|e| Failure::io(out, &e))?;
    for address in &files {
        let target = out.join(address.rsplit('/').next().unwrap_or("download"));
        let part = target.with_extension("part");
        let status = std::process::Command::new("curl")
            .args(["--fail", "--silent", "--location", "--max-time", "120", "--output"])
            .arg(&part)
            .arg(address)
            .status();
        if !matches!(status, Ok(s) if s.success()) {
            let _ = std::fs::remove_file(&part);
            return Err(Failure::Failed(format!(
                "cannot download {address} (no network, or no curl): download it by hand into {} and go on with: {next}",
                out.display()
            )));
        }
        std::fs::rename(&part, &target).map_err(|e| Failure::io(&target, &e))?;
        println!("{}", target.display());
    }
    println!("next: {next}");
    Ok(())
}
