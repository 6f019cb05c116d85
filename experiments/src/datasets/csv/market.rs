//! Matrix Market files (math.nist.gov/MatrixMarket/formats.html) as adjacency matrices: a banner, comments, the line
//! `rows columns entries`, and for each entry its row and column from 1 and its value.

use std::path::Path;

use super::super::reading::Listed;
use super::edges::{Leave, NEGATIVE};
use crate::run::error::CliError;

/// How a Matrix Market file begins.
pub(super) const BANNER: &str = "%%MatrixMarket";

/// A file's graph.
pub(super) struct Market {
    /// Nodes.
    pub nodes: usize,
    /// Edges; of a symmetric matrix both directions.
    pub listed: Listed,
    /// How it was understood.
    pub fact: String,
}

/// Reads a file's text.
pub(super) fn read(path: &Path, text: &str, leave: &Leave) -> Result<Market, CliError> {
    let wrong =
        |line: usize, what: String| CliError::usage(format!("{}:{}: {what}", path.display(), line + 1));
    let mut lines = text.lines().enumerate();
    let banner = lines.next().map_or("", |(_, line)| line).to_lowercase();
    let words: Vec<&str> = banner.split_whitespace().skip(1).collect();
    let &["matrix", "coordinate", kind @ ("pattern" | "integer" | "real"), shape @ ("general" | "symmetric")] =
        &words[..]
    else {
        let what = "a coordinate matrix is wanted, pattern, integer or real, general or symmetric";
        return Err(wrong(0, format!("is `{}`; {what}", words.join(" "))));
    };
    let mut filled = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('%'));
    let (at, sizes) = filled.next().unwrap_or((0, ""));
    let sizes: Option<Vec<usize>> = sizes.split_whitespace().map(|word| word.parse().ok()).collect();
    let Some(&[nodes, columns, entries]) = sizes.as_deref() else {
        return Err(wrong(at, "wants three sizes: rows, columns, entries".into()));
    };
    if nodes != columns {
        return Err(wrong(
            at,
            format!("has {nodes} rows and {columns} columns; an adjacency matrix is square"),
        ));
    }
    let (mut listed, mut count) = (Listed::default(), 0);
    let weighted = kind != "pattern" && !leave.weights;
    for (at, line) in filled {
        count += 1;
        let words: Vec<&str> = line.split_whitespace().collect();
        let node = |word: &str| {
            let number = word.parse().ok().filter(|k| (1..=nodes).contains(k));
            let what =
                || wrong(at, format!("`{word}` is no node; whole numbers from 1 to {nodes} are wanted"));
            number.map(|k: usize| (k - 1) as u32).ok_or_else(what)
        };
        let (u, v, value) = match words[..] {
            [u, v] if kind == "pattern" => (node(u)?, node(v)?, "1"),
            [u, v, value] if kind != "pattern" => (node(u)?, node(v)?, value),
            _ => {
                return Err(wrong(
                    at,
                    format!(
                        "has {} fields; an entry of a {kind} matrix has {}",
                        words.len(),
                        if kind == "pattern" { 2 } else { 3 }
                    ),
                ));
            }
        };
        let w: f32 = value
            .parse()
            .ok()
            .filter(|w: &f32| w.is_finite())
            .ok_or_else(|| wrong(at, format!("`{value}` is no finite number")))?;
        if weighted && w < 0.0 {
            return Err(wrong(at, format!("the weight `{value}` {NEGATIVE}")));
        }
        if w == 0.0 {
            listed.weightless += 1;
            continue;
        }
        let both = shape == "symmetric" && u != v;
        for pair in [Some((u, v)), both.then_some((v, u))].into_iter().flatten() {
            listed.pairs.push(pair);
            listed.weights.extend(weighted.then_some(w));
        }
    }
    if count != entries {
        return Err(wrong(at, format!("promises {entries} entries; there are {count}")));
    }
    Ok(Market {
        nodes,
        listed,
        fact: format!("Matrix Market, {kind} {shape}, {entries} entries of {nodes} nodes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(text: &str) -> Result<Market, String> {
        with(text, false)
    }

    fn with(text: &str, weights: bool) -> Result<Market, String> {
        let leave = Leave { unknown: false, weights };
        read(Path::new("a.mtx"), text, &leave).map_err(|e| e.to_string())
    }

    #[test]
    fn a_symmetric_matrix_has_both_directions() {
        let read = market("%%MatrixMarket matrix coordinate pattern symmetric\n% c\n3 3 3\n2 1\n3 2\n3 3\n")
            .unwrap();
        assert_eq!(read.listed.pairs, [(1, 0), (0, 1), (2, 1), (1, 2), (2, 2)]);
        assert_eq!((read.nodes, read.listed.weights.len()), (3, 0));
        let read = market("%%MatrixMarket matrix coordinate real general\n2 2 3\n1 2 0.5\n2 1 2e0\n1 1 0\n")
            .unwrap();
        assert_eq!((read.listed.pairs, read.listed.weights), (vec![(0, 1), (1, 0)], vec![0.5, 2.0]));
        assert_eq!(read.listed.weightless, 1);
    }

    #[test]
    fn a_stored_zero_is_no_edge_where_weights_are_ignored() {
        let text = "%%MatrixMarket matrix coordinate real general\n3 3 3\n1 2 -0.5\n2 1 0\n2 3 4\n";
        assert!(market(text).err().unwrap().contains(":3: the weight `-0.5` is negative"));
        let listed = with(text, true).unwrap().listed;
        assert_eq!((listed.pairs, listed.weights, listed.weightless), (vec![(0, 1), (1, 2)], vec![], 1));
    }

    #[test]
    fn what_is_no_graph_is_refused_with_its_line() {
        let error = |text: &str| market(text).err().unwrap();
        assert!(
            error("%%MatrixMarket matrix array real general\n")
                .contains(":1: is `matrix array real general`")
        );
        let of = |rest: &str| error(&format!("%%MatrixMarket matrix coordinate integer general\n{rest}"));
        assert!(of("2 3 1\n1 1 1\n").contains(":2: has 2 rows and 3 columns"));
        assert!(of("2 2 2\n1 2 1\n").contains("promises 2 entries; there are 1"));
        assert!(of("2 2 1\n0 2 1\n").contains(":3: `0` is no node; whole numbers from 1 to 2"));
        assert!(of("2 2 1\n1 2\n").contains(":3: has 2 fields"));
        assert!(of("2 2 1\n1 2 -1\n").contains("--ignore-weights"));
    }
}
