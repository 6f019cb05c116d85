//! What an import ends with: what there is, and what its user may not have meant.

use std::path::Path;

use models::gnn::Dataset;

/// Classes that are listed with their sizes; more are counted.
const LISTED: usize = 12;
/// A class with more than this share makes accuracy a poor figure of two.
const LARGE: f64 = 0.65;

/// (what, how much) of a data set.
pub(super) fn facts(data: &Dataset) -> Vec<(String, String)> {
    let n = data.nodes();
    let row = |what: &str, value: String| (what.to_string(), value);
    let names = if data.node_names.is_empty() { "" } else { ", the source's names are kept" };
    let isolated = data.degrees().iter().filter(|d| **d == 0).count();
    let alone = if isolated > 0 { format!(", {isolated} without an edge") } else { String::new() };
    let mut rows = vec![
        row("nodes", format!("{n}{names}{alone}")),
        row("undirected edges", (data.edges.len() / 2).to_string()),
    ];
    if let Some((low, high)) = range(data.edge_weights.iter().copied()) {
        rows.push(row("weights", format!("{low} to {high}")));
    }
    let sizes = sizes(data);
    let mut classes: Vec<String> = sizes
        .iter()
        .enumerate()
        .take(LISTED)
        .map(|(c, size)| format!("{}: {size}", data.class_name(c)))
        .collect();
    if sizes.len() > LISTED {
        classes.push(format!("{} more", sizes.len() - LISTED));
    }
    let nothing_known = data.unlabelled.len() == n;
    if !data.unlabelled.is_empty() {
        classes.push(format!("without label: {}", data.unlabelled.len()));
    }
    if nothing_known {
        rows.push(row("classes", "none: no node has a label".into()));
    } else {
        rows.push(row("classes", format!("{} ({})", data.classes, classes.join(", "))));
        rows.push(row("share of the largest class", format!("{:.1} %", 100.0 * majority(&sizes).1)));
    }
    let x = &data.features;
    let zero = (x.stored().len() < x.rows() * x.cols()).then_some(0.0);
    let of_x = range(x.stored().iter().copied().chain(zero));
    let values = of_x.map_or_else(String::new, |(low, high)| format!(", {low} to {high}"));
    rows.push(row("features", format!("{}{values}", x.cols())));
    let splits = match data.splits.first() {
        None => "none".to_string(),
        Some(s) => {
            let (a, b, c) = (s.train.len(), s.validation.len(), s.test.len());
            format!("{} ({a} to learn from, {b} to select on, {c} to test)", data.splits.len())
        }
    };
    rows.push(row("splits", splits));
    rows
}

/// What may not be meant, and what helps further, of a data set that is written to `out`.
pub(super) fn notes(data: &Dataset, out: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    let degrees = data.degrees();
    if data.edges.is_empty() {
        notes.push("there is no edge: every network is an mlp here".into());
    } else if data.node_names.is_empty() && degrees[0] == 0 && degrees.last().is_some_and(|d| *d > 0) {
        notes.push(
            "node 0 has no edge, the last node has: nodes are counted from 0; where yours are counted from 1, give the files a column id"
                .into(),
        );
    }
    if data.unlabelled.len() == data.nodes() {
        notes.push(format!(
            "`graph --predict RUN --data {}` predicts the classes of these nodes by a trained network",
            out.display()
        ));
        return notes;
    }
    if data.class_names.first().is_some_and(|name| name == "1") {
        notes.push("there is no class 0: the source counts from 1, and its codes are kept as names".into());
    }
    let sizes = sizes(data);
    let (largest, share) = majority(&sizes);
    if data.classes > 2 && 2 * data.classes > data.nodes() {
        notes.push(format!(
            "{} classes of {} nodes: is this the column of classes?",
            data.classes,
            data.nodes()
        ));
    }
    if data.classes == 2 && share > LARGE {
        notes.push(format!(
            "class {} has {:.1} % of the nodes, which is the accuracy of a constant answer: `graph --set data.metric=roc-auc` measures more",
            data.class_name(largest),
            100.0 * share
        ));
    }
    if data.splits.is_empty() && data.public.is_none() {
        let smallest = sizes.iter().filter(|size| **size > 0).min().copied().unwrap_or(1);
        let each = (smallest / 4).clamp(1, 20);
        let development =
            (data.nodes() / 2).clamp(1, 1500).max((each * data.classes + 1).min(data.nodes() - 1));
        notes.push(format!(
            "there are no splits: `graph --data {} --split random --set data.development={development} --set data.per_class={each}` draws some",
            out.display()
        ));
    }
    notes
}

/// Nodes of each class.
fn sizes(data: &Dataset) -> Vec<usize> {
    let mut sizes = vec![0; data.classes];
    data.labels.iter().for_each(|c| sizes[*c as usize] += 1);
    data.unlabelled.iter().for_each(|i| sizes[data.labels[*i as usize] as usize] -= 1);
    sizes
}

/// The largest class, and its share of the nodes that have a label.
fn majority(sizes: &[usize]) -> (usize, f64) {
    let largest = (0..sizes.len()).rev().max_by_key(|c| sizes[*c]).unwrap_or(0);
    let all: usize = sizes.iter().sum();
    (largest, sizes.get(largest).map_or(0.0, |size| *size as f64 / all.max(1) as f64))
}

fn range(values: impl Iterator<Item = f32>) -> Option<(f32, f32)> {
    values.fold(None, |range, v| {
        Some(range.map_or((v, v), |(low, high): (f32, f32)| (low.min(v), high.max(v))))
    })
}

#[cfg(test)]
mod tests {
    use models::gnn::FeatureMatrix;
    use models::gnn::data::synthetic::from_edges;

    use super::*;

    fn notes_of(change: &dyn Fn(&mut Dataset)) -> String {
        let mut data = from_edges("test", 8, &[(0, 1), (2, 3)], vec![0, 0, 1, 1, 0, 1, 0, 1], 2);
        change(&mut data);
        notes(&data, Path::new("a.npz")).join("\n")
    }

    #[test]
    fn what_may_not_be_meant_is_noted() {
        let one = "there are no splits: `graph --data a.npz --split random --set data.development=4 --set data.per_class=1` draws some";
        assert_eq!(notes_of(&|_| ()), one);
        let without = notes_of(&|d| d.unlabelled = (0..8).collect());
        assert_eq!(
            without,
            "`graph --predict RUN --data a.npz` predicts the classes of these nodes by a trained network"
        );
        assert!(notes_of(&|d| d.edges.clear()).contains("no edge"));
        assert!(notes_of(&|d| d.edges = vec![(6, 7), (7, 6)]).contains("counted from 1"));
        assert!(notes_of(&|d| d.class_names = vec!["1".into(), "2".into()]).contains("no class 0"));
        assert!(notes_of(&|d| d.labels = vec![1, 1, 1, 1, 1, 1, 1, 0]).contains("class 1 has 87.5 %"));
        assert!(
            notes_of(&|d| (d.classes, d.labels) = (6, vec![0, 1, 2, 3, 4, 5, 0, 1]))
                .contains("6 classes of 8")
        );
    }

    #[test]
    fn facts_count_what_is_there() {
        let mut data = from_edges("test", 4, &[(0, 1)], vec![0, 0, 0, 1], 2);
        data.unlabelled = vec![2];
        data.class_names = vec!["a".into(), "b".into()];
        let facts = facts(&data);
        let of = |what: &str| facts.iter().find(|f| f.0 == what).unwrap().1.clone();
        assert_eq!(of("classes"), "2 (a: 2, b: 1, without label: 1)");
        assert_eq!(of("share of the largest class"), "66.7 %");
        assert_eq!(of("nodes"), "4, 2 without an edge");
        assert_eq!(of("features"), "4, 0 to 1");
        data.features = FeatureMatrix::Dense { shape: (4, 1), values: vec![0.5, -1.0, 2.0, 0.0] };
        assert!(super::facts(&data).contains(&("features".into(), "1, -1 to 2".into())));
        data.unlabelled = (0..4).collect();
        assert!(super::facts(&data).contains(&("classes".into(), "none: no node has a label".into())));
    }
}
