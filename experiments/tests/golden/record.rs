//! What is kept of a run: for each file, items by name, in a form that does not depend on the order of keys and
//! columns, on the way a number is written, or on headers.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// File -> item -> value. A value is a digest (16 hexadecimal digits of a SHA-256), or the number itself.
pub type Record = BTreeMap<String, Items>;
type Items = BTreeMap<String, String>;

/// Beginnings of the names of what clocks and memory decide, and of texts.
const LEFT_OUT: [&str; 4] = ["seconds", "peak_mib", "epoch_ms", "settings"];

fn is_kept(name: &str) -> bool {
    !LEFT_OUT.iter().any(|beginning| name.starts_with(beginning))
}

/// Everything that a folder holds.
pub fn record(folder: &Path) -> Record {
    let mut found = Record::new();
    walk(folder, "", &mut found);
    found
}

fn walk(folder: &Path, prefix: &str, found: &mut Record) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let (path, name) = (entry.path(), format!("{prefix}{}", entry.file_name().to_string_lossy()));
        if path.is_dir() {
            walk(&path, &format!("{name}/"), found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let items = match extension {
            "npy" => array(&bytes),
            // metrics.json has the same numbers.
            "csv" if name.ends_with("figures.csv") => continue,
            "csv" => columns(&text()),
            "json" if !name.ends_with("env.json") => numbers(&text()),
            "safetensors" => tensors(&bytes),
            _ => continue,
        };
        found.insert(name, items);
    }
}

fn digest(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The shape and the entries of a NumPy array.
fn array(bytes: &[u8]) -> Items {
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..end]);
    let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).expect("a shape");
    let shape = shape.0.trim_end_matches(',').to_string();
    Items::from([("shape".into(), shape), ("entries".into(), digest(&bytes[end..]))])
}

/// The columns of a table: digests of their cells as far as they go, numbers by their bits.
fn columns(text: &str) -> Items {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut cells = vec![String::new(); header.len()];
    for line in lines {
        for (own, cell) in cells.iter_mut().zip(line.split(',')) {
            let cell = cell.parse::<f64>().map_or(cell.to_string(), |v| format!("{v:?}"));
            if !cell.is_empty() {
                *own += &(cell + "\n");
            }
        }
    }
    let kept = header.into_iter().zip(cells).filter(|(name, _)| is_kept(name));
    kept.map(|(name, cells)| (name.into(), digest(cells))).collect()
}

/// The numbers of a JSON object by their paths, lists of them as columns are; texts and nulls are left out.
fn numbers(text: &str) -> Items {
    fn put(path: &str, value: &Value, items: &mut Items) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter().filter(|(key, _)| is_kept(key)) {
                    put(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, items);
                }
            }
            Value::Array(list) => {
                let list: String = list.iter().map(|v| written(v) + "\n").collect();
                items.insert(path.into(), digest(list));
            }
            Value::Number(_) | Value::Bool(_) => {
                items.insert(path.into(), written(value));
            }
            Value::Null | Value::String(_) => {}
        }
    }
    let mut items = Items::new();
    put("", &serde_json::from_str(text).unwrap(), &mut items);
    items
}

/// A number as the shortest text that reads back to its bits.
fn written(value: &Value) -> String {
    value.as_f64().map_or(value.to_string(), |v| format!("{v:?}"))
}

/// Of a sampler's checkpoint the averaged parameters and the buffer; of another network's all of its tensors,
/// whatever their names and their order.
fn tensors(bytes: &[u8]) -> Items {
    let (size, rest) = bytes.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(size.try_into().unwrap()) as usize);
    let header: Value = serde_json::from_slice(header).unwrap();
    let entries = header.as_object().into_iter().flatten();
    let digests: Items = (entries.filter(|(name, _)| *name != "__metadata__"))
        .map(|(name, tensor)| {
            let at = |k: usize| tensor["data_offsets"][k].as_u64().unwrap() as usize;
            (name.clone(), digest(&data[at(0)..at(1)]))
        })
        .collect();
    if digests.contains_key("ema") {
        return digests.into_iter().filter(|(name, _)| ["ema", "buffer"].contains(&name.as_str())).collect();
    }
    let mut all: Vec<String> = digests.into_values().collect();
    all.sort_unstable();
    Items::from([("tensors".into(), digest(all.join("\n")))])
}

/// What of `expected` is not so in `found`, a line for each item.
pub fn differences(expected: &Record, found: &Record) -> Vec<String> {
    let items =
        expected.iter().flat_map(|(file, items)| items.iter().map(move |(item, was)| (file, item, was)));
    let line = |(file, item, was): (&String, &String, &String)| match found.get(file).map(|f| f.get(item)) {
        None => Some(format!("{file} is missing")),
        Some(None) => Some(format!("{file}: {item} is missing")),
        Some(Some(is)) => (is != was).then(|| format!("{file}: {item} was {was}, is {is}")),
    };
    let mut lines: Vec<String> = items.filter_map(line).collect();
    lines.dedup();
    lines
}

/// A table for each run, a line for each file.
pub fn to_toml(runs: &BTreeMap<String, Record>) -> String {
    let mut text = String::from("# Written by the test: see main.rs.\n");
    for (name, files) in runs {
        text += &format!("\n[{name}]\n");
        for (file, items) in files {
            let items: Vec<String> = items.iter().map(|(item, v)| format!("{item:?} = {v:?}")).collect();
            text += &format!("{file:?} = {{ {} }}\n", items.join(", "));
        }
    }
    text
}

/// The inverse of [`to_toml`].
pub fn from_toml(text: &str) -> BTreeMap<String, Record> {
    toml::from_str(text).unwrap()
}
