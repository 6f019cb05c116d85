//! The words of a formula.

use super::Fault;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Name(String),
    /// An operator, a bracket or a comma.
    Sign(&'static str),
    End,
}

/// Longest first.
const SIGNS: [&str; 19] =
    ["<=", ">=", "==", "!=", "**", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", "[", "]", ",", ":"];

/// All words, each with its first byte, and the end of the text.
pub(super) fn words(text: &str) -> Result<Vec<(usize, usize, Token)>, Fault> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (len, token) = if first.is_ascii_digit() || first == '.' {
            let len = number(rest.as_bytes());
            let value = rest[..len].parse::<f64>().ok().filter(|v| v.is_finite());
            let value = value.ok_or_else(|| {
                Fault::new(at, len.max(1), format!("`{}` is no number", &rest[..len.max(1)]))
            })?;
            (len, Token::Number(value))
        } else if first.is_alphabetic() || first == '_' {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (len, Token::Name(rest[..len].into()))
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (sign.len(), Token::Sign(if sign == "**" { "^" } else { sign }))
        } else {
            let hint = if first == '=' { ": to compare, write ==" } else { "" };
            return Err(Fault::new(at, first.len_utf8(), format!("`{first}` has no meaning here{hint}")));
        };
        words.push((at, len, token));
        at += len;
    }
    words.push((text.len(), 0, Token::End));
    Ok(words)
}

/// The length of a number at the beginning: digits, a point, an exponent.
fn number(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = digits(0);
    if text.get(at) == Some(&b'.') {
        at += 1 + digits(at + 1);
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = if at + 1 + sign <= text.len() { digits(at + 1 + sign) } else { 0 };
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    at
}
