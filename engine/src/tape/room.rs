//! Places of cotangents in their slab: taken when a value is first reached, given back when its op has passed
//! it on, so that a backward pass works in a few places that stay in cache, however long the recording.

/// Which parts of a slab are in use.
#[derive(Default)]
pub(super) struct Room {
    /// Numbers in use or given back; what lies beyond was never taken.
    end: usize,
    /// Given back: (place, length), the latest last.
    free: Vec<(usize, usize)>,
}

impl Room {
    /// Nothing is in use.
    pub(super) fn clear(&mut self) {
        self.end = 0;
        self.free.clear();
    }

    /// Numbers that the slab must have.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// A place for `len` numbers: the latest of exactly that length, for it is the likeliest to be in cache, or
    /// the smallest that is long enough, or new room.
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

    /// Gives a place back.
    pub(super) fn give(&mut self, at: usize, len: usize) {
        self.free.push((at, len));
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn places_in_use_never_overlap_and_are_used_again() {
        let mut room = Room::default();
        let mut stream = crate::rng::Stream::new(0, "room", 0, 0);
        let mut used: Vec<(usize, usize)> = Vec::new();
        for _ in 0..2000 {
            if used.len() > 10 || (!used.is_empty() && stream.uniform() < 0.5) {
                let (at, len) = used.swap_remove(stream.index(used.len()));
                room.give(at, len);
            } else {
                let len = [0, 1, 3, 64, 64, 100][stream.index(6)];
                let at = room.take(len);
                assert!(used.iter().all(|(a, l)| at + len <= *a || a + l <= at), "{at} {len} {used:?}");
                assert!(at + len <= room.end());
                used.push((at, len));
            }
        }
        assert!(room.end() < 4000, "{}", room.end());
    }
}
