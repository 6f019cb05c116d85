//! A target that something uses, its own or another's.

use super::Target;

/// A borrowed target, or one that goes with its user.
pub enum Held<'t, T> {
    /// Another's.
    Borrowed(&'t dyn Target<T>),
    /// Its own.
    Owned(Box<dyn Target<T> + 't>),
}

impl<'t, T> From<&'t dyn Target<T>> for Held<'t, T> {
    fn from(target: &'t dyn Target<T>) -> Self {
        Self::Borrowed(target)
    }
}

impl<'t, T> std::ops::Deref for Held<'t, T> {
    type Target = dyn Target<T> + 't;
    fn deref(&self) -> &Self::Target {
        match self {
            Self::Borrowed(target) => *target,
            Self::Owned(target) => &**target,
        }
    }
}
