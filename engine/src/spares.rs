//! Memory that is handed on from one use to the next: as many pieces as were ever in use at once.

use std::sync::Mutex;

/// Pieces that nobody uses now.
pub struct Spares<S>(Mutex<Vec<S>>);

impl<S> Default for Spares<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Default> Spares<S> {
    /// The piece that was given back last, as it was left, or a new one.
    pub fn take(&self) -> S {
        self.0.lock().ok().and_then(|mut all| all.pop()).unwrap_or_default()
    }

    /// Keeps a piece for the next use.
    pub fn give_back(&self, piece: S) {
        if let Ok(mut all) = self.0.lock() {
            all.push(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_comes_back_first_and_as_it_was() {
        let spares = Spares::<Vec<u8>>::default();
        let (mut a, b) = (spares.take(), spares.take());
        a.push(7);
        spares.give_back(b);
        spares.give_back(a);
        assert_eq!(spares.take(), [7]);
        assert!(spares.take().is_empty());
        assert!(spares.take().is_empty());
    }
}
