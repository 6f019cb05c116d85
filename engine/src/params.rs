//! Trainable parameters: named matrices in one contiguous slice, on which optimiser, moving average,
//! checkpoint and gradient check work.

use crate::rng::Stream;
use crate::{Real, Shape, View};

/// Position and shape of a parameter in the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId {
    /// Index of the first entry.
    pub offset: usize,
    /// Rows and columns.
    pub shape: Shape,
}

impl ParamId {
    /// Range of the entries in the slice.
    pub fn range(self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.shape.len()
    }
}

/// Named parameter matrices in one slice.
#[derive(Clone, Debug, Default)]
pub struct Params<T> {
    values: Vec<T>,
    entries: Vec<(String, ParamId)>,
    /// Scalars so far, where they are counted and not kept.
    counted: Option<usize>,
}

impl<T: Real> Params<T> {
    /// An empty set of parameters.
    pub fn new() -> Self {
        Self { values: Vec::new(), entries: Vec::new(), counted: None }
    }

    /// Counts the parameters that are added, and keeps none: what a network is asked first, because one that no
    /// machine can hold is quickly written down. Only [`len`](Self::len) says anything.
    pub fn counting() -> Self {
        Self { counted: Some(0), ..Self::new() }
    }

    /// Adds a parameter with entries `init(i, j)`, called column by column.
    ///
    /// # Panics
    /// If the name exists already.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        rows: usize,
        cols: usize,
        mut init: impl FnMut() -> T,
    ) -> ParamId {
        let (name, id) = (name.into(), ParamId { offset: self.len(), shape: Shape { rows, cols } });
        if let Some(count) = &mut self.counted {
            *count = count.saturating_add(rows.saturating_mul(cols));
            return id;
        }
        assert!(self.find(&name).is_none(), "parameter `{name}` exists already");
        self.values.extend((0..rows * cols).map(|_| init()));
        self.entries.push((name, id));
        id
    }

    /// Adds a `rows x cols` weight, Gaussian with variance `gain^2 / cols` (LeCun et al. 1998).
    ///
    /// # Panics
    /// If the name exists already.
    pub fn add_weight(
        &mut self,
        name: impl Into<String>,
        rows: usize,
        cols: usize,
        gain: f64,
        seed: u64,
    ) -> ParamId {
        let name = name.into();
        if self.counted.is_some() {
            return self.add_zeros(name, rows, cols);
        }
        let mut noise = vec![T::ZERO; rows * cols];
        Stream::new(seed, &name, 0, 0).fill_normal(&mut noise);
        let scale = T::of(gain / (cols.max(1) as f64).sqrt());
        let mut noise = noise.into_iter();
        self.add(name, rows, cols, || scale * noise.next().unwrap_or(T::ZERO))
    }

    /// Adds a parameter of zeros.
    ///
    /// # Panics
    /// If the name exists already.
    pub fn add_zeros(&mut self, name: impl Into<String>, rows: usize, cols: usize) -> ParamId {
        self.add(name, rows, cols, || T::ZERO)
    }

    /// Number of scalars.
    pub fn len(&self) -> usize {
        self.counted.unwrap_or(self.values.len())
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All scalars.
    pub fn values(&self) -> &[T] {
        &self.values
    }
    /// All scalars, to write.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
    /// Names and positions, in the order of creation.
    pub fn entries(&self) -> impl Iterator<Item = (&str, ParamId)> {
        self.entries.iter().map(|(name, id)| (name.as_str(), *id))
    }
    /// The parameter of that name.
    pub fn find(&self, name: &str) -> Option<ParamId> {
        self.entries().find(|(n, _)| *n == name).map(|(_, id)| id)
    }
    /// One parameter's matrix.
    pub fn view(&self, id: ParamId) -> View<'_, T> {
        View { data: &self.values[id.range()], shape: id.shape }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_takes_no_memory() {
        let mut params = Params::<f64>::counting();
        params.add_weight("w", 1 << 30, 1 << 30, 1.0, 0);
        params.add_zeros("b", 1 << 30, 1);
        assert_eq!((params.len(), params.values().len()), ((1 << 60) + (1 << 30), 0));
        let mut params = Params::<f64>::new();
        params.add_weight("w", 3, 2, 1.0, 0);
        assert_eq!((params.len(), params.values().len()), (6, 6));
    }
}
