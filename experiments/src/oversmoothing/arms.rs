//! Arms of a study: networks with settings of their own, under a name.

use std::path::Path;

use crate::config::{layers, leaves};
use crate::run::error::CliError;

/// A network under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its name in tables and pictures.
    pub name: String,
    /// The network.
    pub model: String,
    /// Its settings, each as `key=value`; they win over those for all networks.
    pub sets: Vec<String>,
    /// Its depths; none means those of the study.
    pub depths: Vec<usize>,
}

impl Arm {
    /// A network under its own name.
    pub fn plain(model: &str) -> Self {
        Self { name: model.into(), model: model.into(), sets: Vec::new(), depths: Vec::new() }
    }

    /// As the command line has it: `NAME=MODEL`, then `,KEY=VALUE` for each setting, where a key without a point is
    /// one of `model`.
    ///
    /// # Errors
    /// The text is not of that form.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = || {
            CliError::usage(format!(
                "--arm {text}: write it as NAME=MODEL,KEY=VALUE,..., for example still=grade,aggregation=0"
            ))
        };
        let mut parts = text.split(',');
        let (name, model) = parts.next().and_then(|first| first.split_once('=')).ok_or_else(wrong)?;
        let whole = |set: &str| {
            let (key, _) = set.split_once('=')?;
            Some(if key.contains('.') { set.to_string() } else { format!("model.{set}") })
        };
        let sets = parts.map(whole).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let arm = Self { name: name.trim().into(), model: model.trim().into(), sets, depths: Vec::new() };
        arm.named(&format!("--arm {text}"))
    }

    /// The arms of a file: a table for each, with the sections of a configuration, and `depths` if it has its own.
    ///
    /// # Errors
    /// The file cannot be read, or a table names no network.
    pub fn read(path: &Path) -> Result<Vec<Self>, CliError> {
        let source = path.display();
        let arm = |(name, value): (String, toml::Value)| {
            let wrong = |what: &str| CliError::usage(format!("{source}: [{name}]: {what}"));
            let toml::Value::Table(mut table) = value else {
                return Err(CliError::usage(format!("{source}: `{name}` is no table; write [{name}.model]")));
            };
            let depths = match table.remove("depths") {
                None => Vec::new(),
                Some(list) => list.try_into().map_err(|_| wrong("depths wants a list of whole numbers"))?,
            };
            let model = table.get("model").and_then(|model| model.get("name")).and_then(|name| name.as_str());
            let model = model.ok_or_else(|| wrong("model.name is missing"))?.to_string();
            let own = leaves(table, "").into_iter().filter(|(key, _)| key != "model.name");
            let sets = own.map(|(key, value)| format!("{key}={value}")).collect();
            Self { name: name.clone(), model, sets, depths }.named(&source.to_string())
        };
        layers(Some(path), &[])?.into_iter().map(arm).collect()
    }

    /// Itself, if its name can stand in a table and as a key.
    fn named(self, source: &str) -> Result<Self, CliError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(CliError::usage(format!(
                "{source}: the name {:?} of an arm may have letters, digits, - and _",
                self.name
            )));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_of_the_command_line_and_of_a_file_are_the_same() {
        let arm = Arm::parse("still=grade,aggregation=0,train.decay=1e-3").unwrap();
        assert_eq!((arm.name.as_str(), arm.model.as_str()), ("still", "grade"));
        assert_eq!(arm.sets, ["model.aggregation=0", "train.decay=1e-3"]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("arms.toml");
        let text = "[still]\ndepths = [2, 8]\n[still.model]\nname = \"grade\"\naggregation = 0\n[still.train]\ndecay = 1e-3\n";
        std::fs::write(&file, text).unwrap();
        let [read] = &Arm::read(&file).unwrap()[..] else { panic!() };
        assert_eq!(read.depths, [2, 8]);
        assert_eq!(
            *read,
            Arm { sets: vec!["model.aggregation=0".into(), "train.decay=0.001".into()], ..arm.clone() }
                .with(&[2, 8])
        );
    }

    impl Arm {
        fn with(self, depths: &[usize]) -> Self {
            Self { depths: depths.to_vec(), ..self }
        }
    }

    #[test]
    fn what_is_no_arm_says_how_to_write_one() {
        let error = |text: &str| Arm::parse(text).unwrap_err().to_string();
        assert!(error("grade").contains("write it as NAME=MODEL"));
        assert!(error("a=grade,kernel").contains("write it as NAME=MODEL"));
        assert!(error("a b=grade").contains("letters, digits"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("arms.toml");
        let error = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Arm::read(&file).unwrap_err().to_string()
        };
        assert!(error("a = 3\n").contains("`a` is no table"));
        assert!(error("[a.train]\nepochs = 3\n").contains("[a]: model.name is missing"));
        assert!(error("[a]\ndepths = 3\n[a.model]\nname = \"gcn\"\n").contains("depths wants a list"));
    }
}
