//! Buffers on huge pages.
//!
//! A sparse product reads columns in any order, so nearly every read of a buffer of many megabytes misses the
//! processor's table of 4 KiB pages. Linux lays large buffers on pages of 2 MiB if it is asked before they are
//! first written; elsewhere, and where it refuses, everything works the same on small pages.

use crate::Real;

/// Smaller buffers hold no whole huge page to speak of.
const WORTH_IT: usize = 4 << 20;

/// `len` zeros on huge pages.
pub fn zeros<T: Real>(len: usize) -> Vec<T> {
    let mut data = Vec::new();
    grow(&mut data, len);
    data
}

/// A copy on huge pages.
pub fn copy<T: Real>(data: &[T]) -> Vec<T> {
    let mut out = zeros(data.len());
    out.copy_from_slice(data);
    out
}

/// Lengthens `data` to at least `len` numbers; the new ones are zeros.
pub(crate) fn grow<T: Real>(data: &mut Vec<T>, len: usize) {
    if data.len() >= len {
        return;
    }
    if data.capacity() < len {
        // Doubling keeps the copies of a slab that grows op by op few.
        data.reserve(len - data.len());
        advise(data.as_ptr(), data.capacity());
    }
    data.resize(len, T::ZERO);
}

/// Asks for huge pages under the whole buffer.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn advise<T>(start: *const T, capacity: usize) {
    const PAGE: usize = 4096;
    let bytes = capacity * size_of::<T>();
    if bytes < WORTH_IT {
        return;
    }
    let first = (start as usize).next_multiple_of(PAGE);
    let length = (start as usize + bytes).saturating_sub(first) & !(PAGE - 1);
    // SAFETY: the range is whole pages of one live allocation, and this advice never changes what they hold.
    // Its failure is no error: small pages stay.
    unsafe {
        libc::madvise(first as *mut libc::c_void, length, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: *const T, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_as_a_buffer_grows() {
        let mut data = copy(&[1.0_f32, 2.0]);
        for len in [0, 1, 2, 3, 1000, 1 << 21, 1 << 22] {
            grow(&mut data, len);
            assert_eq!(data.len(), len.max(2));
            assert_eq!(data[..2], [1.0, 2.0]);
            assert!(data[2..].iter().all(|v| *v == 0.0));
        }
    }
}
