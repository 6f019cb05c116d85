//! Files of a training: its curve, its network, what it says of every node.

use engine::Params;
use engine::checkpoint::Checkpoint;
use models::gnn::training::classification::{predicted, probabilities};
use models::gnn::training::confusion::Confusion;
use models::gnn::training::train::Outcome;
use models::gnn::{Dataset, Split};

use super::{GraphConfig, picture};
use crate::npy;
use crate::plot::{Panel, Series, panels};
use crate::run::RunFolder;
use crate::run::error::CliError;
use crate::run::history::History;

/// Columns of history.csv: the first training's epochs.
const HISTORY: [&str; 5] = ["epoch", "loss", "validation_loss", "validation", "test"];

/// The file of a split: the first split has the plain name.
fn named(stem: &str, extension: &str, split: usize) -> String {
    match split {
        0 => format!("{stem}.{extension}"),
        _ => format!("{stem}-{split}.{extension}"),
    }
}

/// The file of a split's checkpoint.
pub(super) fn checkpoint_name(split: usize) -> String {
    named("checkpoint", "safetensors", split)
}

/// A trained network with what it makes of each node.
pub(super) struct Trained<'a> {
    pub config: &'a GraphConfig,
    pub data: &'a Dataset,
    pub split: &'a Split,
    pub outcome: &'a Outcome,
    pub seed: u64,
    /// The states after the encoder and before the decoder, and the scores.
    pub states: &'a [Vec<f32>; 3],
}

impl Trained<'_> {
    /// What is predicted for the labelled nodes of the test part.
    pub fn confusion(&self) -> Confusion {
        let part = Parts::new(self.data, self.split);
        let test = self.split.test.iter().map(|i| *i as usize).filter(|i| part.labelled[*i]);
        Confusion::of(test.map(|i| (self.data.labels[i], predicted(self.scores(i)))))
    }

    fn scores(&self, node: usize) -> &[f32] {
        &self.states[2][node * self.data.classes..][..self.data.classes]
    }

    /// predictions.csv and checkpoint.safetensors of the split number `k`.
    pub fn write(&self, folder: &RunFolder, k: usize) -> Result<(), CliError> {
        let checkpoint = checkpoint(&self.outcome.params, self.data, self.outcome.best, self.seed)?;
        folder.write(&checkpoint_name(k), &checkpoint)?;
        let own: Vec<u32> = (0..self.data.nodes()).map(|i| predicted(self.scores(i))).collect();
        let parts = Parts::new(self.data, self.split);
        let table =
            predictions(self.data, Some(&parts), &own, &probabilities(&self.states[2], self.data.classes))?;
        folder.write(&named("predictions", "csv", k), &table)
    }

    /// The curve of the training, its states, and a picture of them.
    pub fn show(&self, folder: &RunFolder) -> Result<(), CliError> {
        self.curve(folder)?;
        let [first, last, _] = self.states;
        let n = self.data.nodes().max(1);
        folder.write("embeddings.npy", &npy::encode(last.len() / n, last))?;
        if let Some(picture) = picture::draw(self.data, self.config.model.name(), first, last)? {
            picture.write(folder, "graph")?;
        }
        Ok(())
    }

    fn curve(&self, folder: &RunFolder) -> Result<(), CliError> {
        let mut history = History::new(&HISTORY);
        for (k, e) in self.outcome.epochs.iter().enumerate() {
            history.push(&[k as f64, e.loss, e.validation_loss, e.validation, e.test]);
        }
        folder.write("history.csv", history.to_csv().as_bytes())?;
        let curve = |name: &str, column: &str| Series {
            name: name.into(),
            points: history.series(column),
            floor: false,
        };
        let label = format!("{} on {}, split 0", self.config.model.name(), self.config.data.name);
        let parts = [
            Panel {
                label: "cross-entropy".into(),
                log: true,
                series: vec![curve("training", "loss"), curve("validation", "validation_loss")],
            },
            Panel {
                label: self.config.data.metric.name().into(),
                log: false,
                series: vec![curve("validation", "validation"), curve("test", "test")],
            },
        ];
        panels(&label, "epoch", &parts)?.write(folder, "training")
    }
}

/// The part of each node, and whether it is labelled.
pub(super) struct Parts {
    names: Vec<&'static str>,
    labelled: Vec<bool>,
}

impl Parts {
    fn new(data: &Dataset, split: &Split) -> Self {
        let mut names = vec!["none"; data.nodes()];
        let parts = [("train", &split.train), ("validation", &split.validation), ("test", &split.test)];
        parts.into_iter().for_each(|(name, part)| part.iter().for_each(|i| names[*i as usize] = name));
        Self { names, labelled: data.labelled() }
    }
}

/// A network's parameters, and what it must be given: how many features a node, which classes, weights or none.
fn checkpoint(params: &Params<f32>, data: &Dataset, epoch: usize, seed: u64) -> Result<Vec<u8>, CliError> {
    let mut checkpoint = Checkpoint::new();
    for (name, id) in params.entries() {
        // Column-major rows x cols is row-major cols x rows.
        checkpoint.put(name, &[id.shape.cols, id.shape.rows], params.view(id).data);
    }
    let failed = |e: &dyn std::error::Error| CliError::Failed(format!("checkpoint: {e}"));
    checkpoint.note("seed", seed);
    checkpoint.note("epoch", epoch);
    checkpoint.note("features", data.features.cols());
    checkpoint.note("classes", data.classes);
    checkpoint.note("class_names", serde_json::to_string(&data.class_names).map_err(|e| failed(&e))?);
    checkpoint.note("weighted", !data.edge_weights.is_empty());
    checkpoint.encode().map_err(|e| failed(&e))
}

/// A line for each node in order: its name, its part where there are parts, its class (nothing without a label), the
/// class that is predicted, and the probability of each class.
pub(super) fn predictions(
    data: &Dataset,
    parts: Option<&Parts>,
    predicted: &[u32],
    probabilities: &[f64],
) -> Result<Vec<u8>, CliError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let failed = |e: &dyn std::error::Error| CliError::Failed(format!("predictions: {e}"));
    let part = parts.map(|_| "part");
    let chances = (0..data.classes).map(|c| format!("p_{}", data.class_name(c)));
    let header = ["node"].into_iter().chain(part).chain(["class", "predicted"]).map(String::from);
    table.write_record(header.chain(chances)).map_err(|e| failed(&e))?;
    let labelled = data.labelled();
    for (i, own) in probabilities.chunks_exact(data.classes).enumerate() {
        let name = |class: u32| data.class_name(class as usize);
        let label = if labelled[i] { name(data.labels[i]) } else { "".into() };
        let words = [data.node_name(i)].into_iter().chain(parts.map(|p| p.names[i].into()));
        let mut words = words.chain([label, name(predicted[i])]);
        words.try_for_each(|word| table.write_field(word.as_bytes())).map_err(|e| failed(&e))?;
        // Single precision, as the scores have it: more digits would say nothing.
        let chances = own.iter().map(|p| format!("{:?}", *p as f32));
        table.write_record(chances).map_err(|e| failed(&e))?;
    }
    table.into_inner().map_err(|e| failed(&e))
}

/// confusion.csv of what the predictions of the first `splits` splits say of their test parts, added up: a line for
/// each class of the source, a column for each that is predicted.
pub(super) fn confusion(folder: &RunFolder, data: &Dataset, splits: usize) -> Result<Vec<u8>, CliError> {
    let codes: std::collections::HashMap<String, u32> =
        (0..data.classes).rev().map(|c| (data.class_name(c).into_owned(), c as u32)).collect();
    let mut seen = Confusion::default();
    for k in 0..splits {
        let name = named("predictions", "csv", k);
        let damaged = |line: usize| {
            let path = folder.file(&name);
            CliError::usage(format!("{}: line {line} is damaged; start a new run", path.display()))
        };
        let bytes = folder.read(&name)?;
        let mut pairs = Vec::new();
        for (row, line) in csv::Reader::from_reader(&bytes[..]).records().zip(2..) {
            let row = row.map_err(|_| damaged(line))?;
            if row.get(1) == Some("test") && row.get(2) != Some("") {
                let code = |k: usize| row.get(k).and_then(|name| codes.get(name)).copied();
                pairs.push(code(2).zip(code(3)).ok_or_else(|| damaged(line))?);
            }
        }
        seen.add(&Confusion::of(pairs));
    }
    let classes = seen.classes();
    let mut table = csv::Writer::from_writer(Vec::new());
    let failed = |e: &dyn std::error::Error| CliError::Failed(format!("confusion.csv: {e}"));
    let names = || classes.iter().map(|c| data.class_name(*c as usize).into_owned());
    table.write_record(["class".to_string()].into_iter().chain(names())).map_err(|e| failed(&e))?;
    for (class, name) in classes.iter().zip(names()) {
        let counts = classes.iter().map(|other| seen.count(*class, *other).to_string());
        table.write_record([name].into_iter().chain(counts)).map_err(|e| failed(&e))?;
    }
    table.into_inner().map_err(|e| failed(&e))
}
