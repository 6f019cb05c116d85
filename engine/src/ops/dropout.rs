//! Dropout (Srivastava et al. 2014): y = m o x, m_k = 0 with probability p and 1 / (1 - p) else; x_bar += m o y_bar.
//!
//! The mask is kept in bits: as a matrix it would take the memory of x once more.

use crate::rng::Stream;
use crate::tape::{Cotangents, Inputs, Saved};
use crate::{Op, Real, Recording, Shape, Var, parallel};

/// Entries whose bits are in one word.
const WORD: usize = u64::BITS as usize;

struct Dropout<T> {
    /// A bit for each entry that is kept.
    kept: Vec<u64>,
    /// 1 / (1 - p).
    scale: T,
}

impl<T: Real> Dropout<T> {
    /// A number for each entry, as [`Stream::fill_uniform_in_parts`] has them.
    fn draw(len: usize, rate: f64, stream: &mut Stream) -> Self {
        let limit = T::of(rate);
        let mut kept = vec![0; len.div_ceil(WORD)];
        stream.for_parts(&mut kept, parallel::CHUNK / WORD, |stream, words| {
            // Numbers for entries beyond the last go unused.
            let mut uniform = [T::ZERO; WORD];
            for word in words {
                stream.fill_uniform(&mut uniform);
                *word = uniform.iter().rev().fold(0, |bits, u| bits << 1 | u64::from(*u >= limit));
            }
        });
        Self { kept, scale: T::of(1.0 / (1.0 - rate)) }
    }

    /// Runs `f(range, its words of the mask, part)` over parts of `data`, in parallel.
    fn for_parts(&self, data: &mut [T], f: impl Fn(std::ops::Range<usize>, &[u64], &mut [T]) + Sync) {
        parallel::for_chunks(data, parallel::CHUNK, |c, part| {
            let at = c * parallel::CHUNK;
            f(at..at + part.len(), &self.kept[at / WORD..], part);
        });
    }

    /// m of entry `l` of a word.
    #[inline(always)]
    fn factor(&self, word: u64, l: usize) -> T {
        if word >> l & 1 == 1 { self.scale } else { T::ZERO }
    }
}

const _: () = assert!(parallel::CHUNK.is_multiple_of(WORD), "a part begins with a word");

impl<T: Real> Op<T> for Dropout<T> {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }

    fn forward(&self, x: &Inputs<T>, out: &mut [T], _: &mut [T]) {
        let x = x.get(0).data;
        self.for_parts(out, |at, words, out| {
            for ((out, x), word) in out.chunks_mut(WORD).zip(x[at].chunks(WORD)).zip(words) {
                for (l, (y, x)) in out.iter_mut().zip(x).enumerate() {
                    *y = *x * self.factor(*word, l);
                }
            }
        });
    }

    fn vjp(&self, _: &Saved<T>, out_bar: &mut [T], x_bar: &mut Cotangents<T>) {
        let Some(x_bar) = x_bar.get_uninit(0) else { return };
        let (out_bar, overwrite) = (&*out_bar, x_bar.overwrite);
        self.for_parts(x_bar.data, |at, words, x_bar| {
            if overwrite {
                x_bar.fill(T::ZERO);
            }
            for ((x_bar, bar), word) in x_bar.chunks_mut(WORD).zip(out_bar[at].chunks(WORD)).zip(words) {
                for (l, (x_bar, bar)) in x_bar.iter_mut().zip(bar).enumerate() {
                    *x_bar = self.factor(*word, l).mul_add(*bar, *x_bar);
                }
            }
        });
    }
}

impl<T: Real> Recording<'_, T> {
    /// Entries of x set to 0 with probability `rate`, the others divided by 1 - `rate`.
    pub fn dropout(&mut self, x: Var, rate: f64, stream: &mut Stream) -> Var {
        let op = Dropout::<T>::draw(self.shape(x).len(), rate, stream);
        self.apply(op, &[x])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn entries_and_their_gradients_are_dropped_alike() {
        let (n, rate) = (20_003, 0.25);
        let mut tape = Tape::<f64>::new();
        let mut g = tape.record(&[]);
        let x = g.variable(1, n, &vec![3.0; n]);
        let y = g.dropout(x, rate, &mut Stream::new(0, "dropout", 0, 0));
        // The mask that the stream's numbers make.
        let mut mask = vec![0.0; n];
        Stream::new(0, "dropout", 0, 0).fill_uniform_in_parts(&mut mask);
        mask.iter_mut().for_each(|u| *u = if *u < rate { 0.0 } else { 1.0 / 0.75 });
        let times = |v: f64| mask.iter().map(|m| v * m).collect::<Vec<_>>();
        assert_eq!(g.value(y).data, times(3.0));
        g.backward_from(y, &vec![2.0; n], &mut []);
        assert_eq!(g.grad(x).data, times(2.0));
    }
}
