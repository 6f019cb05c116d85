//! A free list for the buffer of cotangents: a place is taken when a value is first reached, and freed when its op
//! has passed the cotangent on, so that a backward pass works in a few places that stay in cache, however long the
//! recording.

/// Which parts of a buffer are in use.
#[derive(Default)]
pub(super) struct FreeList {
    /// The length in use or freed; what lies beyond was never taken.
    end: usize,
    /// Freed places as (place, length), the latest last.
    free: Vec<(usize, usize)>,
}

impl FreeList {
    /// Nothing is in use.
    pub(super) fn clear(&mut self) {
        self.end = 0;
        self.free.clear();
    }

    /// The length that the buffer must have.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// A place of length `len`: the latest of exactly that length, for it is the likeliest to be in cache, or the
    /// smallest that is long enough, or one at the end.
    pub(super) fn take(&mut self, len: usize) -> usize {
        if let Some(k) = self.free.iter().rposition(|(_, l)| *l == len) {
            return self.free.remove(k).0;
        }
        let longer = (0..self.free.len()).filter(|k| self.free[*k].1 > len);
        match longer.min_by_key(|k| self.free[*k].1) {
            Some(k) => {
                let (at, whole) = self.free[k];
                self.free[k] = (at + len, whole - len);
                at
            }
            None => {
                self.end += len;
                self.end - len
            }
        }
    }

    /// Frees a place.
    pub(super) fn give(&mut self, at: usize, len: usize) {
        self.free.push((at, len));
    }
}

#[cfg(test)]
mod tests {
    use super::FreeList;

    #[test]
    fn places_in_use_never_overlap_and_are_used_again() {
        let mut list = FreeList::default();
        let mut stream = crate::rng::Stream::new(0, "free list", 0, 0);
        let mut used: Vec<(usize, usize)> = Vec::new();
        for _ in 0..2000 {
            if used.len() > 10 || (!used.is_empty() && stream.uniform() < 0.5) {
                let (at, len) = used.swap_remove(stream.index(used.len()));
                list.give(at, len);
            } else {
                let len = [0, 1, 3, 64, 64, 100][stream.index(6)];
                let at = list.take(len);
                assert!(used.iter().all(|(a, l)| at + len <= *a || a + l <= at), "{at} {len} {used:?}");
                assert!(at + len <= list.end());
                used.push((at, len));
            }
        }
        assert!(list.end() < 4000, "{}", list.end());
    }
}
