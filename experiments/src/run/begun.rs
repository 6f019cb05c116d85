//! How a run began: its settings and the sha256 of every file that it reads. A run that is resumed or measured again
//! must still have them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::config::leaves;
use crate::run::error::CliError;

/// The file, the last that a new run writes before it starts: a folder that has it can be resumed.
pub(super) const BEGUN: &str = "begun.toml";

/// A file that a run reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Where it was; none if TOML cannot hold the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Of its bytes.
    sha256: String,
}

/// By what they are to the run.
pub type Inputs = BTreeMap<String, Input>;

impl Input {
    /// A file at `path` with these bytes.
    pub fn new(path: &Path, bytes: &[u8]) -> Self {
        let path = std::path::absolute(path).unwrap_or(path.to_path_buf());
        Self { path: path.to_str().map(String::from), sha256: sha256(bytes) }
    }

    /// Where it was.
    pub fn path(&self) -> Option<PathBuf> {
        self.path.as_ref().map(PathBuf::from)
    }
}

/// In hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// What is fixed when a run begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    /// What the folder holds, as `run of sample`.
    pub kind: String,
    /// The version of the program.
    pub version: String,
    /// Files that it reads.
    #[serde(default)]
    pub inputs: Inputs,
    /// What its files of settings say.
    #[serde(default)]
    pub files: BTreeMap<String, Table>,
}

impl Begun {
    /// An error that names the first setting of a file that is not what it was.
    pub fn check(&self, folder: &Path) -> Result<(), CliError> {
        for (name, was) in &self.files {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map_err(|e| CliError::io(&path, &e))?;
            let is: Table = text.parse().map_err(|e: toml::de::Error| {
                let why = e.message().lines().next().unwrap_or_default();
                CliError::usage(format!("{}: {why}; put back what the run wrote", path.display()))
            })?;
            if let Some(change) = difference(was, &is) {
                return Err(CliError::usage(format!(
                    "{}: {change}; put that back, or start a new run",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// What another run that began has otherwise, but for some of its files of settings, in words.
    pub fn differs(&self, now: &Self, but: &[&str]) -> Option<String> {
        if self.kind != now.kind {
            return Some(format!("holds a {}, not a {}", self.kind, now.kind));
        }
        let names: BTreeSet<&String> = self.files.keys().chain(now.files.keys()).collect();
        let (none, counts) = (Table::new(), |name: &&&String| !but.contains(&name.as_str()));
        let of = |begun: &Self, name: &String| begun.files.get(name).unwrap_or(&none).clone();
        let setting = names.iter().filter(counts).find_map(|name| {
            difference(&of(self, name), &of(now, name)).map(|change| format!("{name}: {change}"))
        });
        // Machines may have a file in places of their own.
        let sums = |inputs: &Inputs| -> BTreeSet<(String, String)> {
            inputs.iter().map(|(what, input)| (what.clone(), input.sha256.clone())).collect()
        };
        let (was, is) = (sums(&self.inputs), sums(&now.inputs));
        let other = was.symmetric_difference(&is).next();
        setting.or(other.map(|(what, _)| format!("its {what} is another file than it was")))
    }

    /// An error if an input is not the file that it was, or is new.
    pub fn check_input(&self, what: &str, path: &Path, now: &Input) -> Result<(), CliError> {
        let path = path.display();
        match self.inputs.get(what) {
            Some(was) if was.sha256 == now.sha256 => Ok(()),
            Some(was) => Err(CliError::usage(format!(
                "{path}: is not the {what} that the run began with (sha256 {}..., it was {}...); put that one back, or start a new run",
                &now.sha256[..12.min(now.sha256.len())],
                was.sha256.get(..12).unwrap_or_default()
            ))),
            None => Err(CliError::usage(format!(
                "{path}: the run began without a {what} of its own; leave it out, or start a new run"
            ))),
        }
    }
}

/// The first key with another value, in words.
fn difference(was: &Table, is: &Table) -> Option<String> {
    let [was, is] = [was, is].map(|table| leaves(table.clone(), "").into_iter().collect::<BTreeMap<_, _>>());
    let changed = |(key, old): (&String, &Value)| match is.get(key) {
        Some(new) if new == old => None,
        Some(new) => Some(format!("{key} = {new}, but the run began with {old}")),
        None => Some(format!("{key} is missing; the run began with {old}")),
    };
    let added = || is.keys().find(|key| !was.contains_key(*key));
    let added = || added().map(|key| format!("{key} was not there when the run began"));
    was.iter().find_map(changed).or_else(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let was = table("seed = 1\n[train]\nrate = 0.5\n");
        let change = |text: &str| difference(&was, &table(text)).unwrap_or_default();
        assert_eq!(change("seed = 1 # one\n[train]\nrate = 0.50\n"), "");
        assert_eq!(change("seed = 2\n[train]\nrate = 0.5\n"), "seed = 2, but the run began with 1");
        assert_eq!(change("seed = 1\n"), "train.rate is missing; the run began with 0.5");
        assert_eq!(
            change("seed = 1\nmore = 3\n[train]\nrate = 0.5\n"),
            "more was not there when the run began"
        );
    }

    #[test]
    fn the_sum_is_that_of_the_standard() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), known);
    }
}
