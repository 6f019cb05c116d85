//! The text of a GraphML file, taken apart.

use std::collections::HashMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

use super::super::labels::bare;
use crate::run::error::CliError;

/// An attribute that is declared.
pub(super) struct Key {
    pub id: String,
    pub of_nodes: bool,
    pub name: String,
    kind: String,
    default: Option<String>,
}

/// A node or an edge with the values of its attributes, by the ids of their keys.
#[derive(Default)]
pub(super) struct Element {
    /// A node's id, or an edge's ends.
    pub ids: [String; 2],
    /// Whether an edge has one direction; none where the graph says so.
    pub directed: Option<bool>,
    values: HashMap<String, String>,
    pub place: usize,
}

/// A file's text, taken apart.
pub(super) struct Graph<'a> {
    pub path: &'a Path,
    text: &'a str,
    /// Whether edges have one direction that say nothing of it.
    pub directed: bool,
    pub keys: Vec<Key>,
    pub nodes: Vec<Element>,
    pub edges: Vec<Element>,
}

impl Key {
    /// A node's or an edge's value, or the one that is declared for all.
    pub fn of<'a>(&'a self, element: &'a Element) -> Option<&'a str> {
        element.values.get(&self.id).or(self.default.as_ref()).map(String::as_str)
    }

    pub fn named(&self, names: &[&str]) -> bool {
        names.contains(&bare(&self.name).as_str())
    }

    pub fn numeric(&self) -> bool {
        ["int", "long", "float", "double", "boolean"].contains(&self.kind.as_str())
    }
}

impl<'a> Graph<'a> {
    /// Takes a file's text apart.
    pub fn parse(path: &'a Path, text: &'a str) -> Result<Self, CliError> {
        let mut graph =
            Graph { path, text, directed: false, keys: Vec::new(), nodes: Vec::new(), edges: Vec::new() };
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        // The elements around what is read, and the letters of the innermost.
        let (mut open, mut letters): (Vec<(String, Option<String>)>, _) = (Vec::new(), String::new());
        loop {
            let place = reader.buffer_position() as usize;
            let broken = |e: &dyn std::fmt::Display| graph.wrong(place, format!("is no whole XML ({e})"));
            match reader.read_event().map_err(|e| broken(&e))? {
                Event::Start(start) => {
                    let tag = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                    let key = graph.start(&tag, &start, place)?;
                    open.push((tag, key));
                    letters.clear();
                }
                Event::Text(text) => letters += &text.decode().map_err(|e| broken(&e))?,
                Event::CData(text) => letters += &text.decode().map_err(|e| broken(&e))?,
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|e| broken(&e))?;
                    match reference.resolve_char_ref().map_err(|e| broken(&e))? {
                        Some(letter) => letters.push(letter),
                        None => letters += resolve_xml_entity(&name).unwrap_or_default(),
                    }
                }
                Event::End(_) => {
                    if let Some((tag, key)) = open.pop() {
                        let around = open.last().map_or("", |(tag, _)| tag.as_str());
                        graph.end(&tag, around, key, letters.trim());
                    }
                    letters.clear();
                }
                Event::Eof if open.is_empty() => return Ok(graph),
                Event::Eof => return Err(broken(&"it ends within an element")),
                _ => (),
            }
        }
    }

    /// An element begins; of `data` the id of its key.
    fn start(&mut self, tag: &str, start: &BytesStart<'_>, place: usize) -> Result<Option<String>, CliError> {
        let attribute = |name: &str| -> Result<Option<String>, CliError> {
            let wrong = |e: &dyn std::fmt::Display| self.wrong(place, format!("is no whole XML ({e})"));
            let found = start.try_get_attribute(name).map_err(|e| wrong(&e))?;
            found.map(|a| a.unescape_value().map(|v| v.into_owned()).map_err(|e| wrong(&e))).transpose()
        };
        let wanted = |name: &str| {
            attribute(name)?.ok_or_else(|| self.wrong(place, format!("<{tag}> lacks the attribute {name}")))
        };
        match tag {
            "key" => {
                let id = wanted("id")?;
                let name = attribute("attr.name")?.unwrap_or_else(|| id.clone());
                let of_nodes = attribute("for")?.is_none_or(|what| what != "edge" && what != "graph");
                let kind = attribute("attr.type")?.unwrap_or_default();
                self.keys.push(Key { id, of_nodes, name, kind, default: None });
            }
            "graph" => self.directed = attribute("edgedefault")?.is_some_and(|word| word == "directed"),
            "node" => {
                let ids = [wanted("id")?, String::new()];
                self.nodes.push(Element { ids, place, ..Element::default() });
            }
            "edge" => {
                let ids = [wanted("source")?, wanted("target")?];
                let directed = attribute("directed")?.map(|word| word == "true");
                self.edges.push(Element { ids, directed, place, ..Element::default() });
            }
            "data" => return Ok(Some(wanted("key")?)),
            _ => (),
        }
        Ok(None)
    }

    /// An element ends within `around`.
    fn end(&mut self, tag: &str, around: &str, key: Option<String>, letters: &str) {
        let element = match around {
            "node" => self.nodes.last_mut(),
            "edge" => self.edges.last_mut(),
            _ => None,
        };
        match (tag, key, element) {
            ("data", Some(key), Some(element)) => _ = element.values.insert(key, letters.to_string()),
            ("default", ..) if around == "key" => {
                self.keys
                    .iter_mut()
                    .last()
                    .into_iter()
                    .for_each(|key| key.default = Some(letters.to_string()));
            }
            _ => (),
        }
    }

    /// An error at a place of the text.
    pub fn wrong(&self, place: usize, what: impl std::fmt::Display) -> CliError {
        let before = &self.text.as_bytes()[..place.min(self.text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        CliError::usage(format!("{}:{line}: {what}", self.path.display()))
    }

    pub fn node_keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.of_nodes)
    }

    pub fn held(&self) -> String {
        self.node_keys().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}
