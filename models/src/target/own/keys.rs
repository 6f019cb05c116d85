//! Keys of a description, read one by one, each with its place in the file.
//!
//! Errors are one line, `FILE:LINE:COLUMN: KEY ...`. What nobody took when a table is [finished](Keys::finish) is
//! an unknown key.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::target::TargetError;
use crate::words::hint;

/// A file's name and its text.
#[derive(Clone, Copy, Debug)]
pub struct Source<'t> {
    /// The name, for errors.
    pub file: &'t Path,
    /// What it holds.
    pub text: &'t str,
}

impl<'t> Source<'t> {
    /// The keys of the whole text.
    ///
    /// # Errors
    /// If it is no TOML, with line and column.
    pub fn keys(self) -> Result<Keys<'t>, TargetError> {
        let table = DeTable::parse(self.text).map_err(|e| {
            let what = e.message().lines().next().unwrap_or("no valid TOML");
            self.error(e.span().map_or(0, |span| span.start), what)
        })?;
        Ok(Keys { source: self, prefix: String::new(), table: table.into_inner(), known: Vec::new() })
    }

    /// What is wrong at a byte of the text.
    pub fn error(&self, at: usize, what: impl std::fmt::Display) -> TargetError {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or_default();
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        TargetError::Parameter(format!("{}:{line}:{column}: {what}", self.file.display()))
    }

    /// What is wrong with the file as a whole.
    pub fn whole(&self, what: impl std::fmt::Display) -> TargetError {
        TargetError::Parameter(format!("{}: {what}", self.file.display()))
    }
}

/// The keys of a table that have not been taken.
#[derive(Debug)]
pub struct Keys<'t> {
    source: Source<'t>,
    /// `constants.` for the keys of a table.
    prefix: String,
    table: DeTable<'t>,
    /// Those that were asked for.
    known: Vec<&'static str>,
}

impl<'t> Keys<'t> {
    /// The file.
    pub fn source(&self) -> Source<'t> {
        self.source
    }

    /// Takes a key's value, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        Some(Value { source: self.source, key: format!("{}{key}", self.prefix), value })
    }

    /// Takes a key that must be there; `for_example` follows in the error.
    ///
    /// # Errors
    /// If it is not.
    pub fn need(&mut self, key: &'static str, for_example: &str) -> Result<Value<'t>, TargetError> {
        self.take(key).ok_or_else(|| {
            let left: Vec<&str> = self.table.keys().map(|key| key.get_ref().as_ref()).collect();
            let near = hint(key, &left);
            let near = near
                .strip_prefix(", did you mean ")
                .map_or(String::new(), |name| format!(", and {} is unknown", name.trim_end_matches('?')));
            self.source
                .whole(format!("the key {}{key} is missing{near}; give it, as {for_example}", self.prefix))
        })
    }

    /// Takes all that is left, in the order of the file.
    pub fn rest(mut self) -> Vec<(String, Value<'t>)> {
        let mut all: Vec<_> = std::mem::take(&mut self.table).into_iter().collect();
        all.sort_by_key(|(key, _)| key.span().start);
        let of = |(key, value): (Spanned<_>, _)| {
            let name: std::borrow::Cow<'_, str> = key.into_inner();
            let whole = format!("{}{name}", self.prefix);
            (name.into_owned(), Value { source: self.source, key: whole, value })
        };
        all.into_iter().map(of).collect()
    }

    /// The end of a table.
    ///
    /// # Errors
    /// If a key is left that nobody asked for.
    pub fn finish(self) -> Result<(), TargetError> {
        let Some((key, _)) = self.table.iter().min_by_key(|(key, _)| key.span().start) else {
            return Ok(());
        };
        let hint = match hint(key.get_ref(), &self.known) {
            hint if hint.is_empty() => format!("; known keys here: {}", self.known.join(", ")),
            hint => hint,
        };
        let what = format!("unknown key `{}{}`{hint}", self.prefix, key.get_ref());
        Err(self.source.error(key.span().start, what))
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Value<'t> {
    source: Source<'t>,
    key: String,
    value: Spanned<DeValue<'t>>,
}

impl<'t> Value<'t> {
    /// The key, as `constants.mu`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong with it.
    pub fn error(&self, what: impl std::fmt::Display) -> TargetError {
        self.source.error(self.value.span().start, format!("{} {what}", self.key))
    }

    /// What is wrong at a byte of a text: at its place in the file where the file has the text as it is, without
    /// escapes, else at its beginning.
    pub fn error_at(&self, text: &str, at: usize, what: impl std::fmt::Display) -> TargetError {
        let span = self.value.span();
        let written = self.source.text.get(span.clone()).and_then(|raw| raw.find(text));
        self.source.error(span.start + written.map_or(0, |start| start + at), format!("{}: {what}", self.key))
    }

    fn wants(&self, what: &str) -> TargetError {
        let is = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("wants {what}, and is {is}"))
    }

    /// As a number.
    ///
    /// # Errors
    /// If it is none, or not finite.
    pub fn number(&self) -> Result<f64, TargetError> {
        let value = match self.value.get_ref() {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|v| v as f64),
            DeValue::Float(x) => x.as_str().parse::<f64>().ok(),
            _ => return Err(self.wants("a number")),
        };
        match value.filter(|v| v.is_finite()) {
            Some(value) => Ok(value),
            None => Err(self.error("must be a finite number")),
        }
    }

    /// As a number, `inf` and `-inf` included.
    ///
    /// # Errors
    /// If it is none.
    pub fn bound(&self) -> Result<f64, TargetError> {
        match self.value.get_ref() {
            DeValue::Float(x) if x.as_str().trim_start_matches(['+', '-']) == "inf" => {
                Ok(if x.as_str().starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY })
            }
            _ => self.number(),
        }
    }

    /// As a number above 0.
    ///
    /// # Errors
    /// If it is none.
    pub fn positive(&self) -> Result<f64, TargetError> {
        match self.number()? {
            value if value > 0.0 => Ok(value),
            value => Err(self.error(format!("= {value} must be a positive number"))),
        }
    }

    /// As a whole number within bounds.
    ///
    /// # Errors
    /// If it is none.
    pub fn count(&self, least: usize, most: usize) -> Result<usize, TargetError> {
        let DeValue::Integer(i) = self.value.get_ref() else { return Err(self.wants("a whole number")) };
        match i64::from_str_radix(i.as_str(), i.radix()).ok().and_then(|v| usize::try_from(v).ok()) {
            Some(value) if (least..=most).contains(&value) => Ok(value),
            _ => Err(self.error(format!("= {} must lie between {least} and {most}", i.as_str()))),
        }
    }

    /// As true or false.
    ///
    /// # Errors
    /// If it is neither.
    pub fn flag(&self) -> Result<bool, TargetError> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wants("true or false")),
        }
    }

    /// As a text.
    ///
    /// # Errors
    /// If it is none.
    pub fn text(&self) -> Result<String, TargetError> {
        match self.value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.wants("a text")),
        }
    }

    /// As one of a few words: its place among them.
    ///
    /// # Errors
    /// If it is none of them.
    pub fn word(&self, known: &[&str]) -> Result<usize, TargetError> {
        let text = self.text()?;
        known.iter().position(|word| *word == text).ok_or_else(|| {
            self.error(format!("= \"{text}\" is not known{} ({})", hint(&text, known), known.join(", ")))
        })
    }

    /// As a text, or a list of texts.
    ///
    /// # Errors
    /// If it is none.
    pub fn texts(&self) -> Result<Vec<String>, TargetError> {
        match self.value.get_ref() {
            DeValue::Array(_) => self.list()?.iter().map(Value::text).collect(),
            _ => self.text().map(|text| vec![text]),
        }
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Array(_))
    }

    /// As a list, whose values are `key[0]` and so on.
    ///
    /// # Errors
    /// If it is none.
    pub fn list(&self) -> Result<Vec<Value<'t>>, TargetError> {
        let DeValue::Array(values) = self.value.get_ref() else { return Err(self.wants("a list")) };
        let of = |(k, value): (usize, &Spanned<DeValue<'t>>)| Value {
            source: self.source,
            key: format!("{}[{k}]", self.key),
            value: value.clone(),
        };
        Ok(values.iter().enumerate().map(of).collect())
    }

    /// As a list of numbers.
    ///
    /// # Errors
    /// If it is none.
    pub fn numbers(&self) -> Result<Vec<f64>, TargetError> {
        self.list()?.iter().map(Value::number).collect()
    }

    /// As a table.
    ///
    /// # Errors
    /// If it is none.
    pub fn table(self) -> Result<Keys<'t>, TargetError> {
        if !matches!(self.value.get_ref(), DeValue::Table(_)) {
            return Err(self.wants("a table"));
        }
        let DeValue::Table(table) = self.value.into_inner() else {
            return Err(self.source.whole("no table"));
        };
        Ok(Keys { source: self.source, prefix: format!("{}.", self.key), table, known: Vec::new() })
    }
}
