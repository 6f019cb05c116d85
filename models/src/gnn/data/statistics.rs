//! What the numbers of a data set tell: nothing that keeps it from being used, but much that spoils a training.

use super::{Dataset, Split};

/// Features beyond this are too large for the first step of a training.
pub const LARGE: f32 = 1e3;
/// Columns whose spans differ by more than this are not on one scale.
const RATIO: f32 = 1e3;

/// What is worth knowing, a line for each kind.
pub fn statistics(data: &Dataset) -> Vec<String> {
    [empty_classes(data), unlabelled(data), untaught(data), one_class(data), unscaled(data)]
        .into_iter()
        .flatten()
        .collect()
}

/// Every split with what it is called; the public one last.
fn splits(data: &Dataset) -> impl Iterator<Item = (String, &Split)> {
    let own = data.splits.iter().enumerate().map(|(k, split)| (format!("split {k}"), split));
    own.chain(data.public.iter().map(|split| ("the public split".to_string(), split)))
}

/// Nodes of each class among `nodes`, those without label aside.
fn sizes(data: &Dataset, labelled: &[bool], nodes: impl Iterator<Item = u32>) -> Vec<usize> {
    let mut sizes = vec![0; data.classes];
    for i in nodes.filter(|i| labelled[*i as usize]) {
        sizes[data.labels[i as usize] as usize] += 1;
    }
    sizes
}

/// The names of some classes: at most five, then their number.
fn listed(data: &Dataset, classes: &[usize]) -> String {
    let names: Vec<_> = classes.iter().take(5).map(|c| data.class_name(*c)).collect();
    let more = classes.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let word = if classes.len() == 1 { "class" } else { "classes" };
    format!("{word} {}{more}", names.join(", "))
}

fn empty_classes(data: &Dataset) -> Option<String> {
    if data.unlabelled.len() == data.nodes() {
        return Some("no node has a label: a network can predict classes, but learn none here".into());
    }
    let sizes = sizes(data, &data.labelled(), 0..data.nodes() as u32);
    let empty: Vec<usize> = (0..data.classes).filter(|c| sizes[*c] == 0).collect();
    (!empty.is_empty()).then(|| format!("{} without a node", listed(data, &empty)))
}

/// Nodes without label in parts of splits.
fn unlabelled(data: &Dataset) -> Option<String> {
    // Each is counted once.
    let mut known = data.labelled();
    let mut count = 0;
    for (_, split) in splits(data) {
        for i in split.parts().into_iter().flatten() {
            count += usize::from(!std::mem::replace(&mut known[*i as usize], true));
        }
    }
    (count > 0)
        .then(|| format!("{count} nodes without label are in parts of splits; they are left out there"))
}

/// Classes that a training does not see.
fn untaught(data: &Dataset) -> Option<String> {
    let labelled = data.labelled();
    let all = sizes(data, &labelled, 0..data.nodes() as u32);
    let mut found = None;
    let mut count = 0;
    for (name, split) in splits(data) {
        let own = sizes(data, &labelled, split.train.iter().copied());
        let missing: Vec<usize> = (0..data.classes).filter(|c| own[*c] == 0 && all[*c] > 0).collect();
        if !missing.is_empty() {
            count += 1;
            found.get_or_insert_with(|| format!("{name}: no training node of {}", listed(data, &missing)));
        }
    }
    found.map(|what| what + &others(count))
}

/// Parts on which one constant answer is right.
fn one_class(data: &Dataset) -> Option<String> {
    let labelled = data.labelled();
    let (mut found, mut count) = (None, 0);
    for (name, split) in splits(data) {
        for (part, nodes) in Split::PARTS.into_iter().zip(split.parts()) {
            let sizes = sizes(data, &labelled, nodes.iter().copied());
            if data.classes > 1 && sizes.iter().filter(|size| **size > 0).count() == 1 {
                count += 1;
                found.get_or_insert_with(|| format!("{name}: all nodes of the {part} part are of one class"));
            }
        }
    }
    found.map(|what| what + &others(count))
}

/// How often a finding was made beside the first time.
fn others(count: usize) -> String {
    if count > 1 { format!(" (and {} more of the kind)", count - 1) } else { String::new() }
}

/// The feature of the largest size: (node, feature, value).
pub fn largest_feature(data: &Dataset) -> Option<(usize, usize, f32)> {
    data.features.entries().max_by(|a, b| a.2.abs().total_cmp(&b.2.abs()))
}

fn unscaled(data: &Dataset) -> Option<String> {
    let remedy = "`--set data.scale=standard` scales them";
    if let Some((i, j, v)) = largest_feature(data).filter(|(.., v)| v.abs() > LARGE) {
        return Some(format!("features are not scaled: feature {j} of node {i} is {v:e}; {remedy}"));
    }
    let x = &data.features;
    let (mut low, mut high) = (vec![f32::INFINITY; x.cols()], vec![f32::NEG_INFINITY; x.cols()]);
    let mut filled = vec![0; x.cols()];
    for (_, j, v) in x.entries() {
        (low[j], high[j], filled[j]) = (low[j].min(v), high[j].max(v), filled[j] + 1);
    }
    let span = |j: usize| match filled[j] == x.rows() {
        true => high[j] - low[j],
        false => high[j].max(0.0) - low[j].min(0.0),
    };
    let spans = || (0..x.cols()).map(|j| (j, span(j))).filter(|(_, s)| *s > 0.0);
    let (widest, most) = spans().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (narrowest, least) = spans().min_by(|a, b| a.1.total_cmp(&b.1))?;
    (most > RATIO * least).then(|| {
        format!(
            "features are not on one scale: feature {widest} spans {most}, feature {narrowest} {least}; {remedy}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::FeatureMatrix;
    use super::super::synthetic::from_edges;
    use super::*;

    fn found(change: &dyn Fn(&mut Dataset)) -> String {
        let mut data = from_edges("test", 6, &[(0, 1)], vec![0, 1, 2, 0, 1, 2], 3);
        data.splits = vec![Split { train: vec![0, 1, 2], validation: vec![3, 4], test: vec![4, 5] }];
        change(&mut data);
        statistics(&data).join("\n")
    }

    #[test]
    fn every_kind_is_found() {
        assert_eq!(found(&|_| ()), "");
        assert_eq!(found(&|d| d.splits[0].train = vec![0, 1]), "split 0: no training node of class 2");
        assert_eq!(
            found(&|d| d.splits[0].test = vec![5]),
            "split 0: all nodes of the test part are of one class"
        );
        let twice = |d: &mut Dataset| {
            d.splits[0].train = vec![0, 1];
            d.public = Some(d.splits[0].clone());
        };
        assert!(found(&twice).ends_with("class 2 (and 1 more of the kind)"));
        let none = found(&|d| {
            d.unlabelled = (0..d.nodes() as u32).collect();
            d.splits.clear();
        });
        assert_eq!(none, "no node has a label: a network can predict classes, but learn none here");
        let left = found(&|d| d.unlabelled = vec![2, 4]);
        assert!(left.starts_with("2 nodes without label are in parts"), "{left}");
        assert!(left.contains("no training node of class 2"), "{left}");
        assert_eq!(
            found(&|d| (d.classes, d.class_names) = (4, ["a", "b", "c", "d"].map(String::from).to_vec())),
            "class d without a node"
        );
    }

    #[test]
    fn unscaled_features_are_named() {
        let scaled = |x: [f32; 12]| found(&|d| d.features = FeatureMatrix::from_rows(6, 2, x.to_vec()));
        let mut x = [0.5; 12];
        assert_eq!(scaled(x), "");
        x[7] = -2e3;
        assert!(scaled(x).starts_with("features are not scaled: feature 1 of node 3 is -2e3; `--set"));
        x[7] = 9e2;
        x[0] = 0.6;
        assert!(scaled(x).starts_with("features are not on one scale: feature 1 spans 899.5, feature 0 0.1"));
    }

    #[test]
    fn a_dense_matrix_tells_the_same() {
        let mut values = vec![0.5; 6 * 2];
        (values[7], values[3]) = (-2e3, 0.0);
        let dense = |values: &[f32]| {
            found(&|d| d.features = FeatureMatrix::Dense { shape: (6, 2), values: values.to_vec() })
        };
        assert!(dense(&values).starts_with("features are not scaled: feature 1 of node 3 is -2e3; `--set"));
        values[7] = 0.5;
        assert_eq!(dense(&values), "");
        (values[1], values[0]) = (1e3, 0.6);
        assert!(dense(&values).contains("feature 1 spans 1000, feature 0 0.1"), "{}", dense(&values));
    }
}
