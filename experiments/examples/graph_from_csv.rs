//! A graph of one's own, from three CSV files to classified nodes.
//!
//! The club of Zachary (1977) is written as anybody's data would be: edges (two node numbers in a line), features
//! (one line for each node), labels (one class for each node). Imported and checked it trains GRADE on ten labels.

use experiments::datasets::{Csv, Format};
use experiments::run::error::CliError;
use models::gnn::Network;
use models::gnn::data::synthetic::{karate, random_split};
use models::gnn::training::Training;
use models::gnn::training::classification::Metric;
use models::gnn::training::train::fit;

fn main() -> Result<(), CliError> {
    let folder = std::env::temp_dir().join(format!("metastable-example-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| CliError::io(&folder, &e))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| CliError::io(&path, &e)).map(|()| path)
    };
    let club = karate();
    let line = |(u, v): &(u32, u32)| format!("{u},{v}\n");
    // The only feature is the node itself.
    let one_hot =
        |i: usize| (0..34).map(|j| if i == j { "1" } else { "0" }).collect::<Vec<_>>().join(",") + "\n";
    let camp = |class: &u32| format!("{}\n", ["\"the teacher, Mr Hi\"", "the president"][*class as usize]);

    let import = Format::Csv(Csv {
        edges: write(
            "edges.csv",
            "from,to\n".to_string() + &club.edges.iter().map(line).collect::<String>(),
        )?,
        features: write("features.csv", (0..34).map(one_hot).collect())?,
        labels: Some(write("labels.csv", club.labels.iter().map(camp).collect())?),
        out: folder.join("club.npz"),
        ..Csv::default()
    });
    // An npz that `graph --data PATH` reads too.
    let data = import.import()?.data;
    std::fs::remove_dir_all(&folder).map_err(|e| CliError::io(&folder, &e))?;
    println!("{} nodes, {} edges, {} classes", data.nodes(), data.edges.len() / 2, data.classes);

    // 14 nodes to develop on, five of each class of them to learn from; 20 to test.
    let split = random_split(&data, 14, 5, 0);
    let network = Network::default();
    let training = Training { epochs: 100, ..Training::default() };
    let outcome = fit(&data, &split, (&network, &training), Metric::Accuracy, 0, &|| false);
    let figures = outcome.map_err(CliError::usage)?.figures();
    println!("accuracy on {} nodes that it has not seen: {:.3}", split.test.len(), figures.test);
    assert!(figures.test >= 0.85, "the two camps are not told apart");
    Ok(())
}
