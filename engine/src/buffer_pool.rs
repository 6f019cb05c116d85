//! Workspaces that are reused from call to call: as many as were ever in use at the same time.

use std::sync::Mutex;

/// Workspaces that are not in use now.
pub struct BufferPool<S>(Mutex<Vec<S>>);

impl<S> Default for BufferPool<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Default> BufferPool<S> {
    /// The workspace that was returned last, with its contents as they were left, or a new one.
    pub fn take(&self) -> S {
        self.0.lock().ok().and_then(|mut all| all.pop()).unwrap_or_default()
    }

    /// Returns a workspace for the next use.
    pub fn give_back(&self, workspace: S) {
        if let Ok(mut all) = self.0.lock() {
            all.push(workspace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_workspace_comes_back_first_and_as_it_was() {
        let pool = BufferPool::<Vec<u8>>::default();
        let (mut a, b) = (pool.take(), pool.take());
        a.push(7);
        pool.give_back(b);
        pool.give_back(a);
        assert_eq!(pool.take(), [7]);
        assert!(pool.take().is_empty());
        assert!(pool.take().is_empty());
    }
}
