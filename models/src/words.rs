//! Words that a user may have meant.

/// The known word within two edits (a third of the word's length for long ones).
pub fn nearest<'a, S: AsRef<str>>(word: &str, known: &'a [S]) -> Option<&'a str> {
    let known = known.iter().map(|k| (strsim::levenshtein(word, k.as_ref()), k.as_ref()));
    known.filter(|(d, k)| *d <= 2.max(k.len() / 3)).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// `, did you mean WORD?` for the nearest known word, or nothing.
pub fn hint<S: AsRef<str>>(word: &str, known: &[S]) -> String {
    nearest(word, known).map_or(String::new(), |near| format!(", did you mean {near}?"))
}
