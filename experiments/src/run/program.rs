//! By what name the program was started: `sample` alone, or `metastable sample`. Commands that it advises begin with
//! the same words.

use std::fmt::Display;
use std::sync::OnceLock;

/// The program that has the others as its sub-commands; none where each is a program of its own.
static WHOLE: OnceLock<&'static str> = OnceLock::new();

/// From now on every program is a sub-command of this one.
pub fn is_a_part_of(whole: &'static str) {
    let _ = WHOLE.set(whole);
}

/// A command, given by its program and arguments, as it is to be typed.
pub fn line(command: impl Display) -> String {
    typed(WHOLE.get().copied(), &command.to_string())
}

/// A text whose commands in backquotes are as they are to be typed.
pub fn quoted(text: &str) -> String {
    match WHOLE.get() {
        Some(whole) => quoted_within(whole, text),
        None => text.into(),
    }
}

fn typed(whole: Option<&str>, command: &str) -> String {
    whole.map_or(command.into(), |whole| format!("{whole} {command}"))
}

/// Programs that a text may tell its reader to run.
const ADVISED: [&str; 3] = ["data", "graph", "sample"];

fn quoted_within(whole: &str, text: &str) -> String {
    ADVISED
        .iter()
        .fold(text.into(), |text, name| text.replace(&format!("`{name} "), &format!("`{whole} {name} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_begin_as_the_program_was_started() {
        assert_eq!(typed(None, "graph --resume a"), "graph --resume a");
        assert_eq!(typed(Some("metastable"), "graph --resume a"), "metastable graph --resume a");
    }

    #[test]
    fn in_a_text_only_commands_in_backquotes_are_changed() {
        let text = "the data are not sorted; `data import npz` puts that right, and `graph` reads `data`";
        let whole =
            "the data are not sorted; `metastable data import npz` puts that right, and `graph` reads `data`";
        assert_eq!(quoted_within("metastable", text), whole);
        assert_eq!(quoted(text), text, "a plain program");
    }
}
