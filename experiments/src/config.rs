//! Configurations: defaults, then a TOML file, then `--set key=value`, with every key checked.
//!
//! The struct that a configuration is read into is the one list of keys: a key that it does not have
//! is an error, so nothing in a file can be silently without effect.

use std::path::Path;

use models::words;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::read;
use crate::run::error::CliError;

/// `defaults` overridden by `file`, then by each `key=value` of `sets`.
pub fn resolve<C: Serialize + DeserializeOwned>(
    defaults: &C,
    file: Option<&Path>,
    sets: &[String],
) -> Result<C, CliError> {
    resolve_without(defaults, file, sets, |_| false)
}

/// The same without the keys that `skip` takes: what they say was decided before, or belongs to another network.
pub fn resolve_without<C: Serialize + DeserializeOwned>(
    defaults: &C,
    file: Option<&Path>,
    sets: &[String],
    skip: impl Fn(&str) -> bool,
) -> Result<C, CliError> {
    let mut table = to_table(defaults)?;
    if let Some(path) = file {
        let source = path.display().to_string();
        put::<C>(&mut table, parse(&text_of(path)?, &source)?, &source, &skip)?;
    }
    for set in sets {
        let Some((key, value)) = set.split_once('=') else {
            return Err(CliError::usage(format!(
                "--set {set}: write it as key=value, for example train.batch=256"
            )));
        };
        let (key, value) = (key.trim(), value.trim());
        if value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() && value.parse::<i64>().is_err() {
            let most = i64::MAX;
            return Err(CliError::usage(format!(
                "--set {key}={value}: is too large; numbers go up to {most}"
            )));
        }
        put::<C>(&mut table, nested(key, from_command_line(value), "--set")?, "--set", &skip)?;
    }
    typed(table).map_err(CliError::usage)
}

/// What a file and single settings say, before anything is checked: for the keys that decide which preset is meant.
pub fn layers(file: Option<&Path>, sets: &[String]) -> Result<Table, CliError> {
    let mut table = match file {
        Some(path) => parse(&text_of(path)?, &path.display().to_string())?,
        None => Table::new(),
    };
    for (key, value) in sets.iter().filter_map(|set| set.split_once('=')) {
        put_over(&mut table, nested(key.trim(), from_command_line(value.trim()), "--set")?);
    }
    Ok(table)
}

/// Puts `from` over `base`, whatever the keys.
fn put_over(base: &mut Table, from: Table) {
    for (key, value) in from {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => put_over(old, new),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// A value as TOML has it, or as people write it: `.5` is a number, a bare word a string.
fn from_command_line(text: &str) -> Value {
    if let Some(value) = format!("v = {text}").parse::<Table>().ok().and_then(|mut t| t.remove("v")) {
        return value;
    }
    match text.parse() {
        Ok(number) if text.contains(|c: char| c.is_ascii_digit()) => Value::Float(number),
        _ => Value::String(text.into()),
    }
}

/// `base` overridden by the TOML text of `source`.
pub fn overlay<C: Serialize + DeserializeOwned>(base: &C, text: &str, source: &str) -> Result<C, CliError> {
    let mut table = to_table(base)?;
    put::<C>(&mut table, parse(text, source)?, source, |_| false)?;
    typed(table).map_err(CliError::usage)
}

/// `config` with the values that `other` has for some keys (`train.batch`); of a key that neither has, nothing.
pub fn with_values_of<C: Serialize + DeserializeOwned>(
    config: &C,
    other: &C,
    keys: &[String],
) -> Result<C, CliError> {
    let mut table = to_table(config)?;
    let values = leaves(to_table(other)?, "");
    for (key, value) in values.into_iter().filter(|(key, _)| keys.contains(key)) {
        put_over(&mut table, nested(&key, value, "configuration")?);
    }
    typed(table).map_err(CliError::usage)
}

/// The keys of what a user has set, as `train.batch`.
pub fn keys(set: Table) -> Vec<String> {
    leaves(set, "").into_iter().map(|(key, _)| key).collect()
}

/// Reads a configuration that must be whole, as a run folder holds it.
pub fn load_exact<C: Serialize + DeserializeOwned>(path: &Path) -> Result<C, CliError> {
    exact(&text_of(path)?, &path.display().to_string())
}

/// The same from the TOML text of `source`.
pub fn exact<C: Serialize + DeserializeOwned>(text: &str, source: &str) -> Result<C, CliError> {
    let config: C = toml::from_str(text).map_err(|e| located(&e, text, source))?;
    // Where one struct is a part of another serde takes any key.
    let known = leaves(to_table(&config)?, "");
    match leaves(parse(text, source)?, "").iter().find(|(key, _)| !known.iter().any(|(k, _)| k == key)) {
        Some((key, _)) => Err(CliError::usage(format!("{source}: unknown key `{key}`"))),
        None => Ok(config),
    }
}

/// The configuration as TOML; keys that still have their default say so.
pub fn to_toml<C: Serialize>(config: &C, defaults: &C) -> Result<String, CliError> {
    let mut out = String::new();
    write_table(&to_table(config)?, &to_table(defaults)?, "", &mut out);
    Ok(out)
}

/// The same without notes.
pub fn to_plain_toml<C: Serialize>(config: &C) -> Result<String, CliError> {
    let mut out = String::new();
    write_table(&to_table(config)?, &Table::new(), "", &mut out);
    Ok(out)
}

fn write_table(table: &Table, defaults: &Table, prefix: &str, out: &mut String) {
    for (key, value) in table.iter().filter(|(_, v)| !v.is_table()) {
        let note = if defaults.get(key) == Some(value) { "  # default" } else { "" };
        out.push_str(&format!("{key} = {value}{note}\n"));
    }
    for (key, value) in table {
        if let Value::Table(inner) = value {
            let empty = Table::new();
            let inner_defaults = defaults.get(key).and_then(Value::as_table).unwrap_or(&empty);
            let name = format!("{prefix}{key}");
            out.push_str(&format!("\n[{name}]\n"));
            write_table(inner, inner_defaults, &format!("{name}."), out);
        }
    }
}

/// As a table of TOML.
pub(crate) fn to_table<C: Serialize>(config: &C) -> Result<Table, CliError> {
    Table::try_from(config)
        .map_err(|e| CliError::Failed(format!("the configuration cannot be written as TOML: {e}")))
}

fn text_of(path: &Path) -> Result<String, CliError> {
    read::text(path, read::SETTINGS)
}

fn parse(text: &str, source: &str) -> Result<Table, CliError> {
    text.parse::<Table>().map_err(|e| located(&e, text, source))
}

/// An error in `text`, with its line and column where they are known.
fn located(e: &toml::de::Error, text: &str, source: &str) -> CliError {
    let place = e.span().map_or(String::new(), |s| {
        let before = &text.as_bytes()[..s.start.min(text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
        format!(":{line}:{column}")
    });
    CliError::usage(format!("{source}{place}: {}", first_line(e)))
}

/// An error's first line; for a word that is none of a few, with the nearest of these.
fn first_line(e: &toml::de::Error) -> String {
    let line = e.message().lines().next().unwrap_or("not a valid configuration");
    // unknown variant `a`, expected one of `b`, `c`
    let mut words = line.split('`').skip(1).step_by(2);
    let near = words.next().filter(|_| line.starts_with("unknown variant"));
    let near = near.and_then(|word| words::nearest(word, &words.collect::<Vec<_>>()).map(String::from));
    near.map_or(line.to_string(), |near| format!("{line}; did you mean `{near}`?"))
}

fn typed<C: DeserializeOwned>(table: Table) -> Result<C, String> {
    Value::Table(table).try_into().map_err(|e| first_line(&e))
}

/// Merges `from` into `base`, which must stay a configuration: an error names the value that it cannot hold.
fn put<C: DeserializeOwned>(
    base: &mut Table,
    from: Table,
    source: &str,
    skip: impl Fn(&str) -> bool,
) -> Result<(), CliError> {
    for (key, value) in leaves(from, "").into_iter().filter(|(key, _)| !skip(key)) {
        merge(base, nested(&key, value.clone(), source)?, "", source)?;
        // An error of serde does not say where.
        typed::<C>(base.clone())
            .map_err(|problem| CliError::usage(format!("{source}: {key} = {value}: {problem}")))?;
    }
    Ok(())
}

/// Parts of a key, at most. A key of the command line, or in quotation marks, could have a hundred thousand, and tables
/// in tables so deep that no stack is enough to walk through them.
const DEEPEST: usize = 16;

/// `train.batch = 3` as { train: { batch: 3 } }.
fn nested(key: &str, value: Value, source: &str) -> Result<Table, CliError> {
    let depth = key.split('.').count();
    if depth > DEEPEST {
        let start: String = key.chars().take(20).collect();
        return Err(CliError::usage(format!(
            "{source}: the key {start}... has {depth} parts; at most {DEEPEST} are possible"
        )));
    }
    // Built from the inside.
    let mut parts = key.rsplit('.');
    let innermost = parts.next().unwrap_or_default().to_string();
    Ok(parts.fold(Table::from_iter([(innermost, value)]), |inner, part| {
        Table::from_iter([(part.to_string(), Value::Table(inner))])
    }))
}

/// The values of a table and of those within, by their whole keys: what [`nested`] takes.
pub(crate) fn leaves(table: Table, prefix: &str) -> Vec<(String, Value)> {
    let of = |(key, value)| match value {
        Value::Table(inner) => leaves(inner, &format!("{prefix}{key}.")),
        value => vec![(format!("{prefix}{key}"), value)],
    };
    table.into_iter().flat_map(of).collect()
}

/// Puts `from` over `base`; every key must exist there, with the same type.
fn merge(base: &mut Table, from: Table, prefix: &str, source: &str) -> Result<(), CliError> {
    for (key, value) in from {
        let name = format!("{prefix}{key}");
        let Some(old) = base.get_mut(&key) else {
            let known: Vec<&String> = base.keys().collect();
            let hint = words::nearest(&key, &known).map_or_else(
                || {
                    format!(
                        "known keys here: {}",
                        known.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", ")
                    )
                },
                |k| format!("did you mean `{prefix}{k}`?"),
            );
            return Err(CliError::usage(format!("{source}: unknown key `{name}`; {hint}")));
        };
        match (old, value) {
            (Value::Table(old), Value::Table(new)) => merge(old, new, &format!("{name}."), source)?,
            (old @ Value::Float(_), Value::Integer(i)) => *old = Value::Float(i as f64),
            (Value::Float(_), Value::Float(f)) if !f.is_finite() => {
                return Err(CliError::usage(format!("{source}: `{name}` = {f} must be a finite number")));
            }
            (Value::Integer(_), Value::Integer(i)) if i < 0 => {
                return Err(CliError::usage(format!("{source}: `{name}` = {i} must not be negative")));
            }
            (old, new) if old.same_type(&new) => *old = new,
            (old, new) => {
                let (want, got) = (old.type_str(), new.type_str());
                return Err(CliError::usage(format!("{source}: `{name}` wants {want}, got {got} {new}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::sampler::iwsm::Config;

    fn error(file: &str, sets: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        resolve(&Config::default(), Some(&path), &sets).unwrap_err().to_string()
    }

    #[test]
    fn overrides_win_over_the_file_and_the_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "[train]\nbatch = 8\nsteps = 5\nlearning_rate = 1\n").unwrap();
        let sets = ["train.steps=7", "train.identity=stored", "train.ema=.5"].map(String::from);
        let c: Config = resolve(&Config::default(), Some(&path), &sets).unwrap();
        assert_eq!(c.train.ema, 0.5);
        assert_eq!((c.train.batch, c.train.steps, c.train.learning_rate), (8, 7, 1.0));
        assert_eq!(c.train.identity, models::sampler::iwsm::Identity::Stored);
        assert_eq!(c.replay, Config::default().replay);
    }

    #[test]
    fn a_resolved_configuration_reads_back_the_same() {
        let mut c = Config::default();
        c.train.batch = 77;
        let text = to_toml(&c, &Config::default()).unwrap();
        assert!(text.contains("batch = 77\n") && text.contains("draws = 500  # default"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        assert_eq!(load_exact::<Config>(&path).unwrap(), c);
    }

    #[test]
    fn unknown_keys_name_the_nearest_one() {
        assert!(
            error("[train]\nbacth = 3\n", &[])
                .contains("unknown key `train.bacth`; did you mean `train.batch`?")
        );
        assert!(error("", &["trian.batch=3"]).contains("did you mean `train`?"));
        assert!(error("", &["train.zzzzzzzz=3"]).contains("known keys here"));
    }

    #[test]
    fn wrong_types_nan_and_negative_sizes_are_refused() {
        assert!(
            error("[train]\nbatch = \"many\"\n", &[]).contains("`train.batch` wants integer, got string")
        );
        assert!(error("[train]\nlearning_rate = nan\n", &[]).contains("must be a finite number"));
        assert!(error("", &["train.batch=-4"]).contains("must not be negative"));
        assert!(error("", &["train"]).contains("key=value"));
    }

    #[test]
    fn a_word_that_a_setting_does_not_know_is_named_with_its_key_and_source() {
        let named = "train.identity = \"magic\": unknown variant `magic`";
        assert!(
            error("", &["train.batch=8", "train.identity=magic"]).starts_with(&format!("--set: {named}"))
        );
        let in_file = error("[train]\nbatch = 8\nidentity = \"magic\"\n", &[]);
        assert!(in_file.contains(&format!("c.toml: {named}")), "{in_file}");
        let base = Config::default();
        let preset = overlay(&base, "[train]\nidentity = \"magic\"\n", "dw4").unwrap_err().to_string();
        assert!(preset.starts_with(&format!("dw4: {named}")), "{preset}");
        let text = to_toml(&base, &base).unwrap().replace("\"mixed\"", "\"magic\"");
        let whole = exact::<Config>(&text, "run.toml").unwrap_err().to_string();
        let line = 1 + text.lines().position(|l| l.contains("magic")).unwrap();
        assert!(whole.starts_with(&format!("run.toml:{line}:")) && whole.contains("`magic`"), "{whole}");
    }

    #[test]
    fn a_syntax_error_gives_file_line_and_column() {
        assert!(error("[train]\nbatch = = 3\n", &[]).contains("c.toml:2:"));
    }
}
