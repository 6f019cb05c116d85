//! Classes as a source writes them, numbered from 0 without gaps: its codes and names are kept.

use super::native_npz::LAST_CLASS;

/// The class of each node.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Classes {
    /// The number of each node's class; 0 for a node without label.
    pub labels: Vec<u32>,
    /// Nodes without label.
    pub unlabelled: Vec<u32>,
    /// What the source calls each class; empty where it counts them from 0.
    pub names: Vec<String>,
    /// Classes.
    pub count: usize,
}

impl Classes {
    /// Of nodes without label.
    pub fn none(nodes: usize) -> Self {
        Self { labels: vec![0; nodes], unlabelled: (0..nodes as u32).collect(), ..Self::default() }
    }

    /// Of whole numbers: in their order, the numbers kept as names unless they are 0, 1, 2, ...
    pub fn of_codes(codes: &[Option<i64>]) -> Result<Self, String> {
        let (mut classes, held) = Self::numbered(codes)?;
        if held.iter().enumerate().any(|(k, code)| **code != k as i64) {
            classes.names = held.into_iter().map(i64::to_string).collect();
        }
        Ok(classes)
    }

    /// Of names: in the order of the alphabet, so that another file of the same source has the same numbers.
    pub fn of_names(names: &[Option<String>]) -> Result<Self, String> {
        let (mut classes, held) = Self::numbered(names)?;
        classes.names = held.into_iter().cloned().collect();
        Ok(classes)
    }

    /// Numbers in the order of the values, and the values.
    fn numbered<V: Ord>(values: &[Option<V>]) -> Result<(Self, Vec<&V>), String> {
        let mut held: Vec<&V> = values.iter().flatten().collect();
        held.sort_unstable();
        held.dedup();
        if held.len() > LAST_CLASS as usize + 1 {
            return Err(format!("{} classes; at most {} are possible", held.len(), LAST_CLASS + 1));
        }
        let number =
            |v: &Option<V>| v.as_ref().map_or(0, |v| held.binary_search(&v).unwrap_or_default() as u32);
        let labels = values.iter().map(number).collect();
        let missing = values.iter().enumerate().filter(|(_, v)| v.is_none());
        let unlabelled = missing.map(|(i, _)| i as u32).collect();
        Ok((Self { labels, unlabelled, names: Vec::new(), count: held.len() }, held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lose_their_gaps_and_keep_their_names() {
        let classes = Classes::of_codes(&[Some(90210), None, Some(10001), Some(90210)]).unwrap();
        assert_eq!((classes.labels, classes.unlabelled, classes.count), (vec![1, 0, 0, 1], vec![1], 2));
        assert_eq!(classes.names, ["10001", "90210"]);
        let classes = Classes::of_codes(&[Some(1), Some(0)]).unwrap();
        assert_eq!((classes.labels, classes.names.len()), (vec![1, 0], 0));
    }

    #[test]
    fn names_are_in_the_order_of_the_alphabet() {
        let names = ["red", "blue", "red"].map(|n| Some(n.to_string()));
        let classes = Classes::of_names(&names).unwrap();
        assert_eq!((classes.labels, classes.names), (vec![1, 0, 1], vec!["blue".into(), "red".into()]));
        assert_eq!(Classes::of_names(&[None]).unwrap().count, 0);
    }
}
