//! GraphML (graphml.graphdrawing.org): `key` declares an attribute of nodes or edges, `node` and `edge` hold their values
//! as `data`.

mod parse;

use std::collections::HashMap;
use std::path::Path;

use models::gnn::{FeatureMatrix, Split};

use self::parse::{Graph, Key};
use super::features::{FeatureRows, WORDS, made};
use super::labels::{LABEL, Labels, SPLIT, WEIGHT, part};
use super::reading::{Listed, Reading, dataset};
use super::text::plain;
use crate::run::error::CliError;

/// What a user states of the attributes.
pub(super) struct Choice<'a> {
    /// The attribute that is the class; `none` for no such attribute.
    pub label: Option<&'a str>,
    /// The attribute that is the part of a split; `none` for no such attribute.
    pub split: Option<&'a str>,
    /// `none`, `degree`, `identity`, or names of attributes; empty for all that are numbers.
    pub features: &'a [String],
    /// What stands for no label.
    pub unlabelled: &'a [String],
}

/// Reads a file.
pub(super) fn graphml(path: &Path, choice: &Choice<'_>, name: &str) -> Result<Reading, CliError> {
    let text = plain(path)?;
    let graph = Graph::parse(path, &text)?;
    let mut places = HashMap::new();
    for (k, node) in graph.nodes.iter().enumerate() {
        if places.insert(node.ids[0].as_str(), k as u32).is_some() {
            return Err(graph.wrong(node.place, format!("node {} is given twice", node.ids[0])));
        }
    }
    let listed = graph.listed(&places)?;
    let split = graph.split_key(choice.split)?;
    let meant = split.is_some() || !choice.unlabelled.is_empty();
    let label = graph.label(choice.label, meant)?;
    let of_label = |n| label.and_then(|key| key.of(n)).unwrap_or_default().to_string();
    let cells: Vec<String> = graph.nodes.iter().map(of_label).collect();
    let wrong = |k: usize, what: String| graph.wrong(graph.nodes[k].place, what);
    let every: Vec<u32> = (0..graph.nodes.len() as u32).collect();
    let classes = Labels::of(&cells, choice.unlabelled, &wrong)?.placed(&every, every.len());
    let classes = classes.map_err(|what| graph.wrong(0, format!("holds {what}")))?;
    let word = WORDS.into_iter().find(|word| choice.features == [*word]);
    let keys =
        if word.is_some() { Vec::new() } else { graph.feature_keys(choice.features, [label, split])? };
    let features = graph.features(&keys)?;
    let mut reading = dataset(name, path, listed, features, classes)?;
    // Without a single number all nodes are alike.
    if let Some(word) = word.or(keys.is_empty().then_some("none")) {
        reading.data.features = made(word, &reading.data.degrees());
    }
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    reading.facts.insert(
        0,
        (
            "attributes".into(),
            format!(
                "label = {}, features: {}",
                label.map_or("none", |key| &key.name),
                match names.len() {
                    0 => word.unwrap_or("none").to_string(),
                    n if n > 8 => format!("{} and {} more", names[..8].join(", "), n - 8),
                    _ => names.join(", "),
                }
            ),
        ),
    );
    reading.data.node_names = graph.nodes.iter().map(|node| node.ids[0].clone()).collect();
    reading.data.splits.extend(split.map(|key| graph.split(key)).transpose()?);
    if label.is_none() && choice.label.is_none() {
        let held = graph.held();
        reading
            .notes
            .push(format!("no attribute of nodes is the class; --label would name one (there are {held})"));
    }
    Ok(reading)
}

impl Graph<'_> {
    /// The attribute of a name or an id.
    fn called(&self, name: &str, remedy: &str) -> Result<&Key, CliError> {
        self.node_keys().find(|key| key.name == name || key.id == name).ok_or_else(|| {
            let (path, held) = (self.path.display(), self.held());
            CliError::usage(format!(
                "{path}: no attribute of nodes is called {name}{remedy} (there are {held})"
            ))
        })
    }

    /// The attribute that is the class. Without one no node has a label, unless attributes that are words, or what the
    /// user states beside (`meant`), speak of classes.
    fn label(&self, stated: Option<&str>, meant: bool) -> Result<Option<&Key>, CliError> {
        let remedy = "; name the class by --label, or give --label none where no node has one";
        match stated {
            Some("none") => return Ok(None),
            Some(name) => return self.called(name, remedy).map(Some),
            None => (),
        }
        let found = self.node_keys().find(|key| key.named(LABEL));
        match found.is_none() && (meant || self.node_keys().any(|key| !key.numeric())) {
            true => self.called("label, class, y or subject", remedy).map(Some),
            false => Ok(found),
        }
    }

    /// The attribute that is the part of a split.
    fn split_key(&self, stated: Option<&str>) -> Result<Option<&Key>, CliError> {
        match stated {
            Some("none") => Ok(None),
            Some(name) => self.called(name, "; name the parts by --split").map(Some),
            None => Ok(self.node_keys().find(|key| key.named(SPLIT))),
        }
    }

    /// The attributes that are features: all numbers that are not the `others`.
    fn feature_keys(&self, stated: &[String], others: [Option<&Key>; 2]) -> Result<Vec<&Key>, CliError> {
        let other = |key: &Key| others.iter().flatten().any(|other| other.id == key.id);
        if stated.is_empty() {
            return Ok(self.node_keys().filter(|key| key.numeric() && !other(key)).collect());
        }
        stated.iter().map(|name| self.called(name, "")).collect()
    }

    fn features(&self, keys: &[&Key]) -> Result<FeatureMatrix, CliError> {
        let mut rows = FeatureRows::default();
        for node in &self.nodes {
            for (j, key) in keys.iter().enumerate() {
                let value = key.of(node).unwrap_or_default();
                let number = match value {
                    "true" => Some(1.0),
                    "false" => Some(0.0),
                    value => value.parse().ok().filter(|v: &f32| v.is_finite()),
                };
                let what = || {
                    format!("{} of node {} is `{value}`; a finite number is wanted", key.name, node.ids[0])
                };
                rows.push(j, number.ok_or_else(|| self.wrong(node.place, what()))?);
            }
            rows.end();
        }
        Ok(rows.matrix(keys.len()))
    }

    /// The split that an attribute gives.
    fn split(&self, key: &Key) -> Result<Split, CliError> {
        let mut parts = [const { Vec::new() }; 3];
        for (k, node) in self.nodes.iter().enumerate() {
            let own = part(key.of(node).unwrap_or_default());
            let own = own.map_err(|what| {
                self.wrong(node.place, format!("{}: {what}; --split none reads no parts", key.name))
            })?;
            own.into_iter().for_each(|own| parts[own].push(k as u32));
        }
        let [train, validation, test] = parts;
        Ok(Split { train, validation, test })
    }

    /// The edges; of one without direction both.
    fn listed(&self, places: &HashMap<&str, u32>) -> Result<Listed, CliError> {
        let weight = self.keys.iter().find(|key| !key.of_nodes && key.named(WEIGHT));
        let mut listed = Listed::default();
        for edge in &self.edges {
            let end = |id: &String| {
                let what = || self.wrong(edge.place, format!("an edge leads to {id}, which is no node"));
                places.get(id.as_str()).copied().ok_or_else(what)
            };
            let (u, v) = (end(&edge.ids[0])?, end(&edge.ids[1])?);
            let value = weight.map(|key| key.of(edge).unwrap_or("1"));
            let w = value.map(|value| {
                let number = value.parse::<f32>().ok().filter(|w| w.is_finite() && *w >= 0.0);
                number.ok_or_else(|| {
                    self.wrong(edge.place, format!("the weight `{value}` is no number from 0"))
                })
            });
            let w = w.transpose()?;
            if w == Some(0.0) {
                listed.weightless += 1;
                continue;
            }
            let both = !edge.directed.unwrap_or(self.directed) && u != v;
            for pair in [Some((u, v)), both.then_some((v, u))].into_iter().flatten() {
                listed.pairs.push(pair);
                listed.weights.extend(w);
            }
        }
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "<?xml version=\"1.0\"?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n\
        <key id=\"d0\" for=\"node\" attr.name=\"class\" attr.type=\"string\"/>\n\
        <key id=\"d1\" for=\"node\" attr.name=\"size\" attr.type=\"double\"><default>2.5</default></key>\n\
        <key id=\"d2\" for=\"edge\" attr.name=\"weight\" attr.type=\"double\"/>\n\
        <key id=\"d3\" for=\"node\" attr.name=\"title\" attr.type=\"string\"/>\n";

    fn read(body: &str, choice: &Choice<'_>) -> Result<Reading, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{KEYS}{body}</graphml>\n")).unwrap();
        graphml(file.path(), choice, "a").map_err(|e| e.to_string())
    }

    const ALL: Choice<'_> = Choice { label: None, split: None, features: &[], unlabelled: &[] };

    const BODY: &str = "<graph edgedefault=\"undirected\">\n\
        <node id=\"n&amp;0\"><data key=\"d0\">a &lt; b</data><data key=\"d1\">1</data></node>\n\
        <node id=\"n1\"><data key=\"d0\">c</data><data key=\"d3\">free</data></node>\n<node id=\"n2\"/>\n\
        <edge source=\"n&amp;0\" target=\"n1\"><data key=\"d2\">0.5</data></edge>\n\
        <edge source=\"n1\" target=\"n2\" directed=\"true\"/>\n</graph>\n";

    #[test]
    fn attributes_become_classes_features_and_weights() {
        let read = read(BODY, &ALL).unwrap();
        let d = read.data;
        assert_eq!(d.node_names, ["n&0", "n1", "n2"]);
        assert_eq!(
            (d.class_names, d.labels, d.unlabelled),
            (vec!["a < b".to_string(), "c".into()], vec![0, 1, 0], vec![2])
        );
        assert_eq!(d.edges, [(0, 1), (1, 0), (1, 2), (2, 1)]);
        assert_eq!(d.edge_weights, [0.5, 0.5, 1.0, 1.0]);
        assert_eq!(d.raw_edges.unwrap(), [(0, 1), (1, 0), (1, 2)]);
        assert_eq!((d.features.shape(), d.features.stored()), ((3, 1), &[1.0, 2.5, 2.5][..]));
        assert_eq!(read.facts[0].1, "label = class, features: size");
    }

    #[test]
    fn what_is_no_graph_is_refused_with_its_line() {
        let error = |body: &str| read(body, &ALL).err().unwrap();
        assert!(error("<graph><node/></graph>").contains(":7: <node> lacks the attribute id"));
        assert!(
            error("<graph><node id=\"a\"/>\n<node id=\"a\"/></graph>").contains(":8: node a is given twice")
        );
        let lost = "<graph><node id=\"a\"/><edge source=\"a\" target=\"b\"/></graph>";
        assert!(error(lost).contains("an edge leads to b, which is no node"));
        assert!(error("<graph><node id=\"a\"></graph>").contains("is no whole XML"));
        let stated = Choice { label: Some("kind"), ..ALL };
        let what = read(BODY, &stated).err().unwrap();
        assert!(
            what.contains(
                "is called kind; name the class by --label, or give --label none where no node has one (there"
            ),
            "{what}"
        );
        let title = Choice { features: &["title".to_string()], ..ALL };
        assert!(read(BODY, &title).err().unwrap().contains("title of node n&0 is ``; a finite number"));
    }

    #[test]
    fn an_attribute_may_be_called_part_without_being_one() {
        let key = "<key id=\"p\" for=\"node\" attr.name=\"part\" attr.type=\"int\"/>";
        let node = |id: &str, part: &str| {
            format!("<node id=\"{id}\"><data key=\"d0\">{id}</data><data key=\"p\">{part}</data></node>")
        };
        let graph = |a: &str, b: &str| format!("{key}<graph>{}{}</graph>", node("a", a), node("b", b));
        let what = read(&graph("3", "4"), &ALL).err().unwrap();
        assert!(
            what.contains("part: `3` is no part") && what.ends_with("; --split none reads no parts"),
            "{what}"
        );
        let with = |split: &'static str| read(&graph("3", "4"), &Choice { split: Some(split), ..ALL });
        let data = with("none").unwrap().data;
        assert_eq!((data.splits.len(), data.features.stored()), (0, &[2.5, 3.0, 2.5, 4.0][..]));
        assert!(with("parts").err().unwrap().contains("is called parts; name the parts by --split"));
        let data = read(&graph("train", "test"), &ALL).unwrap().data;
        assert_eq!((&data.splits[0].train[..], &data.splits[0].test[..]), (&[0][..], &[1][..]));
        assert_eq!(data.features.stored(), [2.5, 2.5]);
    }

    #[test]
    fn nodes_may_have_no_label_at_all() {
        let bare = "<graph><node id=\"a\"/><node id=\"b\"/></graph>";
        let read = |text: &str, choice: &Choice<'_>| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), format!("<graphml>{text}{bare}</graphml>")).unwrap();
            graphml(file.path(), choice, "a").map_err(|e| e.to_string())
        };
        let key = |name: &str, kind: &str| {
            format!(
                "<key id=\"{name}\" for=\"node\" attr.name=\"{name}\" attr.type=\"{kind}\"><default>1</default></key>"
            )
        };
        let size = key("size", "int");
        let reading = read(&size, &ALL).unwrap();
        assert_eq!((reading.data.classes, reading.data.unlabelled), (1, vec![0, 1]));
        assert_eq!(
            reading.notes,
            ["no attribute of nodes is the class; --label would name one (there are size)"]
        );
        // Words, a split, or a word for no label tell of classes.
        let what = "is called label, class, y or subject; name the class by --label, or give --label none";
        let unlabelled = Choice { unlabelled: &["?".to_string()], ..ALL };
        for (text, choice) in
            [(&key("kind", "string"), &ALL), (&key("split", "int"), &ALL), (&size, &unlabelled)]
        {
            assert!(read(text, choice).err().unwrap().contains(what), "{text}");
        }
        let none = Choice { label: Some("none"), ..ALL };
        assert_eq!(read(&key("kind", "string"), &none).unwrap().data.unlabelled, [0, 1]);
    }

    /// No damage makes it panic, and none that cuts it short goes unnoticed.
    #[test]
    fn damaged_files_are_errors_or_other_graphs() {
        let text = format!("{KEYS}{BODY}</graphml>");
        // Before the first element there is nothing that is missing.
        let blank = KEYS.find("<graphml").unwrap();
        for n in 0..text.len() {
            assert!(n <= blank || Graph::parse(Path::new("a"), &text[..n]).is_err(), "cut at {n}");
            for other in ["<", ">", "/", "&", "\"", "", "]]>"] {
                let damaged = format!("{}{other}{}", &text[..n], &text[n + 1..]);
                let _ = Graph::parse(Path::new("a"), &damaged);
            }
        }
    }
}
